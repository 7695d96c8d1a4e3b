"""Coordinates: H3 cells, distances, bounding boxes, polygons; knows no map."""
