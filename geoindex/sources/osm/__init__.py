"""OpenStreetMap files (.osm, .osm.gz, .osm.bz2, .osm.pbf) as record batches."""
