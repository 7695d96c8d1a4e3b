"""Tests of `geoindex.images`."""
