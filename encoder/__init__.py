"""Turn tokens of map entities into vectors; knows no files, tables or H3."""
