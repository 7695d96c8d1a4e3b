"""What vector does this get? Tokens in, vectors out; knows no files, tables or H3."""
