"""``geoindex info``: show what an index holds."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.params import IndexPath
from cli.text import json_safe, shown

_KINDS_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog="Example: geoindex info monaco.geoindex")(info)


def info(
    index: IndexPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Say what is in an index: sources, counts, kinds, encoder, size, licence."""
    from geoindex.api import open as open_index

    opened = open_index(index)
    size_bytes = _size_bytes(index)
    if as_json:
        content = {**asdict(opened.manifest), "path": str(index), "size_bytes": size_bytes}
        typer.echo(json_safe(json.dumps(content, indent=2, ensure_ascii=False)))
        return
    manifest = opened.manifest
    kinds = Counter(opened.entities.table["kind"].to_pylist())
    for name, text in _lines(asdict(manifest), kinds, size_bytes):
        typer.echo(f"{name:10}  {shown(text)}")


def _size_bytes(index: Path) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for path in index.rglob("*"):
        if path.is_file():
            top = path.relative_to(index).parts[0]
            sizes[top if top in {"search", "indexes"} else "tables"] += path.stat().st_size
    return dict(sizes)


def _imagery_lines(imagery: dict[str, Any] | None) -> list[tuple[str, str]]:
    if not imagery:
        return []
    use = "read into the vectors" if imagery.get("in_vectors") else "not read into the vectors"
    text = f"{imagery['source']}, {imagery['gsd_m']} m a pixel; {imagery['tokens']} tokens, {use}"
    return [("imagery", text)]


def _dtype_lines(settings: dict[str, Any]) -> list[tuple[str, str]]:
    if "vector_dtype" not in settings:
        return []
    recall = ", ".join(
        f"{name} {found['recall']:.3f}" for name, found in settings["vector_recall"].items()
    )
    return [("vectors", f"{settings['vector_dtype']}; recall@10 against float32: {recall}")]


def _lines(
    manifest: dict[str, Any], kinds: Counter[str], size_bytes: dict[str, int]
) -> list[tuple[str, str]]:
    from geoindex.search.ann_records import described

    counts, encoder = manifest["counts"], manifest["encoder"]
    of_type = {name: counts[name] for name in ("nodes", "ways", "relations")}
    lines = [
        ("source", f"{source['path']} ({source['timestamp'] or 'no timestamp'})")
        for source in manifest["sources"]
    ]
    lines += [
        ("entities", f"{counts['entities']:,}; {_counted(of_type)}"),
        ("tags", f"{counts['tags']:,} different ones"),
        *(
            ("cells", f"{n:,} of resolution {resolution}")
            for resolution, n in counts["cells"].items()
        ),
        ("kinds", ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common(_KINDS_SHOWN))),
        ("encoder", f"{encoder['name']} {encoder['fingerprint'][:8]}"),
        ("dims", f"{encoder['dim']} of entities, {encoder['region_dim']} of cells"),
        *_dtype_lines(manifest["settings"]),
        *_imagery_lines(manifest["settings"].get("imagery")),
        *(("search", f"{name}: {described(of)}") for name, of in manifest["indexes"].items()),
        ("left out", _counted(manifest["skipped"])),
        ("noted", _counted(manifest["notes"])),
        ("size", ", ".join(f"{name} {n / 1e6:.1f} MB" for name, n in sorted(size_bytes.items()))),
        ("built", f"{manifest['created']} by geoindex {manifest['geoindex_version']}"),
        ("licence", f"{manifest['licence']}, {manifest['attribution']}"),
    ]
    return lines


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items() if n) or "nothing"
