"""Read the coordinate system that a file or a table names of a geometry column.

It may stand in Parquet's own types GEOMETRY and GEOGRAPHY, or in the metadata of GeoArrow; those of
GeoParquet are read by who reads the rest of them.
"""

import json
from collections.abc import Mapping
from typing import Any

_NATIVE_TYPES = {"Geometry", "Geography"}
_NAME, _METADATA = b"ARROW:extension:name", b"ARROW:extension:metadata"


def native_type(parquet_schema: Any, name: str) -> dict[str, Any] | None:
    """Return how Parquet's own type GEOMETRY or GEOGRAPHY is written of a column, or None."""
    for i in range(len(parquet_schema)):
        column = parquet_schema.column(i)
        if column.path == name:
            found = json.loads(column.logical_type.to_json())
            return found if found.get("Type") in _NATIVE_TYPES else None
    return None


def native_crs(native: Mapping[str, Any], metadata: Mapping[bytes, bytes]) -> Any:
    """Return the system of a native type: the specification has it in four forms.

    Parameters
    ----------
    native
        From `native_type`.
    metadata
        Of the file.
    """
    crs = str(native.get("crs") or "OGC:CRS84")
    scheme, _, rest = crs.partition(":")
    if scheme == "srid":
        return f"EPSG:{rest}" if rest != "0" else None
    if scheme == "projjson":
        return metadata.get(rest.encode(), b"").decode("utf-8", "replace") or crs
    return crs


def extension_name(field: Any) -> str | None:
    """Return the name of the extension type of an Arrow field, such as ``geoarrow.wkb``."""
    if hasattr(field.type, "extension_name"):
        return str(field.type.extension_name)
    text = (field.metadata or {}).get(_NAME)
    return text.decode("utf-8", "replace") if text else None


def extension_crs(field: Any) -> Any:
    """Return the system that the extension type of an Arrow field names, None where it names none.

    The type is known to Arrow, or stands in the field's metadata alone.
    """
    kind = field.type
    text = kind.__arrow_ext_serialize__() if hasattr(kind, "__arrow_ext_serialize__") else None
    text = text or (field.metadata or {}).get(_METADATA)
    try:
        extension = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return None
    return extension.get("crs") if isinstance(extension, dict) else None


def authority(crs: Any) -> tuple[str, str] | None:
    """Return the authority and code of a coordinate system, None where none is named."""
    if crs is None:
        return None
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        found = CRS.from_user_input(crs)
    except CRSError:
        return ("an unknown system", str(crs)[:40])
    return found.to_authority() or ("an unnamed system", found.name)
