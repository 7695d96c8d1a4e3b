"""One map feature: its id, kind, tags and columns."""
