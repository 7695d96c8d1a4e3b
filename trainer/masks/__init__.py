"""Masks: which tokens are hidden from the context encoder."""
