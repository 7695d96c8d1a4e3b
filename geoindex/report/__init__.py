"""HTML pages, SVG charts and maps shared by queries and evaluation."""
