"""Build an index: plan, read, sort, embed, write, verify."""
