"""Which rows are nearest to a vector, or to each of many? The exact search.

What each answer is, and how its similarity is measured: `geoindex.searching.neighbours`. How it is
found: `geoindex.searching.scan` (one query), `geoindex.searching.batch` (many).
"""

from geoindex.searching.batch import nearest_many
from geoindex.searching.neighbours import Neighbours
from geoindex.searching.scan import nearest

__all__ = ["Neighbours", "nearest", "nearest_many"]
