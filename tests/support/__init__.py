"""Builders of maps, pictures and models, and fakes, for tests: one of each."""
