"""The GeoJEPA network: configuration, layers, tokens of a batch, entity and region vectors."""
