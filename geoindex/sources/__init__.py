"""Maps in: one file a kind of source, all with the promise of `base.Source`."""
