"""Resolve what a person writes (ids, names, coordinates, areas) to rows of an index."""
