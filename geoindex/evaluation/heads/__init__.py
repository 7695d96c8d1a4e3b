"""Heads: models that learn labels from frozen vectors, fold by fold."""
