"""Serve indexes: HTTP, vector tiles made from the index, the map page, MCP tools."""
