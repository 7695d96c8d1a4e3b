"""Queries by a picture of the ground."""
