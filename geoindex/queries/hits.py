"""The hits of a query, and the forms they can be written in.

Numbers have fixed digits, so that the same answer is the same text: similarity and distance six,
degrees seven (OpenStreetMap's own), metres one.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoindex.errors import UsageError
from geoindex.geo.distance import LonLat, distances_m
from geoindex.geo.h3 import format_cell
from geoindex.search.similarity import Neighbours
from geoindex.storage.arrow_buffers import (
    bytes_column,
    number_column,
    numbers_from,
    text_column,
    truth_column,
)
from geoindex.storage.layout import CELLS
from geoindex.storage.row_store import Rows

if TYPE_CHECKING:
    import geopandas

    from geoindex.queries.explanation import Explanation

TEXT_FORMATS = ("json", "geojson", "geojsonseq", "csv")
_ENTITY_COLUMNS = ("kind", "name", "tags")
_CELL_COLUMNS = ("resolution", "num_entities")
OSM_URL = "https://www.openstreetmap.org/"
_DEGREE_DIGITS, _SIMILARITY_DIGITS, _METRE_DIGITS = 7, 6, 1
# RFC 8142: each record of a GeoJSON text sequence begins with this
_RECORD_SEPARATOR = "\x1e"
_SHOWN = 3


@dataclass(frozen=True, repr=False)
class Hits:
    """The answer to a query, nearest first.

    Attributes
    ----------
    table
        One row a hit: `rank` (from 1), `feature_id` (`region_id` for cells), `similarity`,
        `distance` (1 - similarity), `kind`, `name`, `tags` (cells: `resolution`,
        `num_entities`), `cell` (H3, hexadecimal), `distance_m` (geodesic, from the first place
        asked about; null where there is none), `osm_url`, `exact`, `lon`, `lat`, `geometry` (WKB).
        Of a twin search `index` too, of a batch `query` before all.
    query
        What was asked, resolved, as plain values.
    index
        Which index answered: path, encoder, counts; and `search`: by which backend, whether
        `exact`, and the `recall` it had when measured (1 of an exact answer).
    num_passing
        How many rows the filters let through.
    notes
        What was decided on the way.
    why
        Why each hit is similar, once `explain` was called; then `table` has it too, as JSON.
    suggested
        What to label next, where it was asked for: `id`, `kind`, `name`, `lon`, `lat`,
        `similarity` (cells: no kind, no name).
    explainer
        Makes `why`; None where the index is no longer at hand.
    """

    table: pa.Table
    query: dict[str, Any]
    index: dict[str, Any]
    num_passing: int
    notes: tuple[str, ...] = ()
    why: "tuple[Explanation, ...] | None" = None
    suggested: tuple[dict[str, Any], ...] = ()
    explainer: "Callable[[], tuple[Explanation, ...]] | None" = field(default=None, compare=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records())

    def __repr__(self) -> str:
        first = self.table.slice(0, _SHOWN)
        similarity = first["similarity"].to_pylist()
        shown = [
            f"{name} {how:.3f}"
            for name, how in zip(first[self._id_name].to_pylist(), similarity, strict=True)
        ]
        more = ", ..." if len(self) > _SHOWN else ""
        return f"<{len(self)} hits of {self.num_passing:,}: {', '.join(shown)}{more}>"

    @property
    def ids(self) -> list[str]:
        """The ids, nearest first."""
        return list(self.table[self._id_name].to_pylist())

    @property
    def _id_name(self) -> str:
        is_cells = "region_id" in self.table.column_names
        return "region_id" if is_cells else "feature_id"

    def explain(self) -> "Hits":
        """Return the same hits, each with `why`; see `geoindex.queries.explain`.

        Raises
        ------
        UsageError
            If they do not come from a query.
        IndexDamagedError
            If this version has another encoder than the index.
        """
        if self.why is not None:
            return self
        if self.explainer is None:
            msg = "only hits that a query returned can be explained. Example: index.query(...)"
            raise UsageError(msg)
        why = self.explainer()
        column = text_column([_json(item.as_dict()) for item in why])
        place = self.table.column_names.index("exact") + 1
        return replace(self, table=self.table.add_column(place, "why", column), why=why)

    def records(self) -> list[dict[str, Any]]:
        """Return the hits as plain values, tags as dicts, without the geometry."""
        rows: list[dict[str, Any]] = self.table.drop_columns(["geometry"]).to_pylist()
        for row in rows:
            if "tags" in row:
                row["tags"] = dict(row["tags"])
            if "why" in row:
                row["why"] = json.loads(row["why"])
        return rows

    def to_arrow(self) -> pa.Table:
        """Return the hits as an Arrow table."""
        return self.table

    def to_geopandas(self) -> "geopandas.GeoDataFrame":
        """Return the hits as a GeoDataFrame, OGC:CRS84 as exports are, tags as dicts."""
        import geopandas
        import shapely

        frame = self.table.drop_columns(["geometry"]).to_pandas()
        if "tags" in frame:
            frame["tags"] = [dict(item) for item in frame["tags"]]
        geometry = shapely.from_wkb(self.table["geometry"].to_pylist())
        return geopandas.GeoDataFrame(frame, geometry=geometry, crs="OGC:CRS84")

    def features(self) -> list[dict[str, Any]]:
        """Return the hits as GeoJSON features.

        As RFC 7946 has it: outer rings run counter-clockwise, what crosses the antimeridian is cut
        in two, and degrees have seven digits.
        """
        return [
            {"type": "Feature", "id": row.pop(self._id_name), "geometry": shape, "properties": row}
            for row, shape in zip(
                self.records(), geojson_shapes(self.table["geometry"]), strict=True
            )
        ]

    def document(self, form: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what ``json`` or ``geojson`` writes, as plain values.

        Parameters
        ----------
        more
            Members that stand before the hits.
        """
        asked: dict[str, Any] = {"query": self.query, "index": self.index, **(more or {})}
        if self.suggested:
            asked["suggested"] = list(self.suggested)
        if form == "json":
            return {**asked, "hits": self.records()}
        return {"type": "FeatureCollection", **asked, "features": self.features()}

    def to_text(self, form: str) -> str:
        """Return the hits as ``json``, ``geojson``, ``geojsonseq`` or ``csv``.

        Raises
        ------
        UsageError
            If it is none of these.
        """
        match form:
            case "json" | "geojson":
                return _json(self.document(form), indent=2) + "\n"
            case "geojsonseq":
                return "".join(f"{_RECORD_SEPARATOR}{_json(item)}\n" for item in self.features())
            case "csv":
                return self._csv()
        msg = f"no text form {form!r}; want one of {', '.join(TEXT_FORMATS)}"
        raise UsageError(msg)

    def _csv(self) -> str:
        names = [name for name in self.table.column_names if name != "geometry"]
        lines = [_csv_line(names)]
        for row in self.records():
            if "tags" in row:
                row["tags"] = _json(row["tags"])
            row["exact"] = _json(row["exact"])
            if "why" in row:
                row["why"] = _json(row["why"])
            lines.append(_csv_line(row[name] for name in names))
        return "".join(lines)


def _csv_line(cells: Iterable[Any]) -> str:
    """Return one row of CSV; cells with either kind of line end are quoted."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _json(content: Any, indent: int | None = None) -> str:
    return json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False)


def geojson_shapes(wkb: pa.ChunkedArray) -> list[dict[str, Any]]:
    """Return geometries as those of GeoJSON; see `Hits.features`."""
    import shapely

    from geoindex.geo.antimeridian import cut

    whole = cut(shapely.from_wkb(np.array(wkb.to_pylist(), object)))
    rounded = shapely.transform(whole, lambda places: np.round(places, _DEGREE_DIGITS) + 0.0)
    texts = shapely.to_geojson(shapely.orient_polygons(rounded))
    return [json.loads(text) for text in texts.tolist()]


def make_table(rows: Rows, found: Neighbours, *, table: str, place: LonLat | None) -> pa.Table:
    """Return the table of `Hits` for some rows.

    Parameters
    ----------
    rows
        Of the table that was searched.
    table
        ``"entities"`` or ``"cells"``.
    place
        Where `distance_m` starts; None leaves it null.
    """
    taken = rows.take(found.rows)
    n = len(found.rows)
    is_cells = table == CELLS
    lon, lat = numbers_from(taken["lon"]), numbers_from(taken["lat"])
    similarity = np.round(found.similarity, _SIMILARITY_DIGITS) + 0.0  # no -0.0
    cells = text_column([format_cell(cell) for cell in taken["cell"].to_pylist()])
    columns: dict[str, Any] = {
        "rank": number_column(np.arange(1, n + 1, dtype=np.int32)),
        "region_id" if is_cells else "feature_id": cells if is_cells else taken["feature_id"],
        "similarity": number_column(similarity),
        "distance": number_column(np.round(1 - similarity, _SIMILARITY_DIGITS)),
        **{name: taken[name] for name in (_CELL_COLUMNS if is_cells else _ENTITY_COLUMNS)},
        "cell": cells,
        "distance_m": pa.nulls(n, pa.float64()) if place is None else _metres(lon, lat, place),
    }
    if not is_cells:
        columns["osm_url"] = _urls(taken)
    columns |= {
        "exact": truth_column(n, value=found.is_exact),
        "lon": number_column(np.round(lon, _DEGREE_DIGITS) + 0.0),
        "lat": number_column(np.round(lat, _DEGREE_DIGITS) + 0.0),
        "geometry": _outlines(taken["cell"]) if is_cells else taken["geometry"],
    }
    return pa.table(columns)


def with_index(table: pa.Table, path: str) -> pa.Table:
    """Return a table of hits that says in each row which index it is from, after `exact`."""
    place = table.column_names.index("exact") + 1
    return table.add_column(place, "index", text_column([path] * table.num_rows))


def _metres(lon: NDArray[np.float64], lat: NDArray[np.float64], place: LonLat) -> pa.Array:
    return number_column(np.round(distances_m(lon, lat, place), _METRE_DIGITS))


def _urls(taken: pa.Table) -> pa.Array:
    ids, types = taken["osm_id"].to_pylist(), taken["osm_type"].to_pylist()
    return text_column(
        [
            None if kind is None else f"{OSM_URL}{kind}/{osm_id}"
            for osm_id, kind in zip(ids, types, strict=True)
        ]
    )


def _outlines(cells: pa.ChunkedArray) -> pa.Array:
    import shapely

    from geoindex.geo.cell_polygons import boundaries

    return bytes_column(shapely.to_wkb(boundaries(numbers_from(cells))).tolist())
