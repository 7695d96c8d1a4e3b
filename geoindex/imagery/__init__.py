"""Read chips from imagery, and turn them into patch tokens."""

from geoindex.imagery.base import Chip, ChipFrame, Imagery, ImageryOptions
from geoindex.imagery.open import open_imagery

__all__ = ["Chip", "ChipFrame", "Imagery", "ImageryOptions", "open_imagery"]
