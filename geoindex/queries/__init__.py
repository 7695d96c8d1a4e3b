"""Queries: resolve the examples, filter, search, rerank, explain, return hits."""
