"""Patch tokens of image chips: networks from packages, or plain colour statistics."""
