"""What is on the map? One file a kind of source; all keep the promise of `base.Source`."""
