"""What lies on disk: layout, manifest, Lance tables, memory-mapped search files."""
