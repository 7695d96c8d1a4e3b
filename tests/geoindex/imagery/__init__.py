"""Tests of `geoindex.imagery`."""
