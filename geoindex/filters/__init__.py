"""Filters that select the rows which may answer a query."""
