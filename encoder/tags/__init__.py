"""Tag vectors: the static table, rules for numbers and opening hours, pooling, vocabulary."""
