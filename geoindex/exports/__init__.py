"""GeoParquet export of entities and cells with their vectors."""
