"""Bring an index up to the moment of newer data, and compare its versions."""
