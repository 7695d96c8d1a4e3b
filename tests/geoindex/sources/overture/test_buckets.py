"""A release is read where it lies in a bucket, in parts, as from a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely

import geoindex
from geoindex.errors import SourceError
from geoindex.geo.distance import BBox
from geoindex.pipeline.fetch import locate
from geoindex.pipeline.read import open_source
from geoindex.sources.overture import parquet_files
from tests.support.buckets import put, serving_bucket
from tests.support.osm_files import OsmFile
from tests.support.overture import write_overture
from tests.support.reporters import RecordingReporter

pytestmark = pytest.mark.slow

RELEASE = "release/2026-01-21.0"
PART = "theme=places/type=place/part-{}.zstd.parquet"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred cafés along a diagonal, in two files of five row groups each."""
    folder = tmp_path_factory.mktemp("bucket") / RELEASE
    rows = [
        {"id": f"{i:032x}", "categories": {"primary": "cafe"}, "geometry": shapely.Point(i, i / 2)}
        for i in range(100)
    ]
    for part in range(2):
        some = rows[50 * part : 50 * part + 50]
        write_overture(folder / PART.format(part), "place", some, row_group_rows=10)
    return folder


@pytest.fixture(scope="module")
def bucket(release: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, serving_bucket("maps-us-west-2", patch) as served:
        for part in range(2):
            path = release / PART.format(part)
            put(served, path, f"maps-us-west-2/{RELEASE}/{PART.format(part)}")
        yield served


@pytest.mark.parametrize("below", ["", "/theme=places", "/theme=places/type=place"])
def test_a_release_in_a_bucket_is_that_of_the_folder(
    bucket: Any, release: Path, tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, list[int]]] = []
    batches = parquet_files.ParquetFile.batches

    def recorded(self: Any, groups: list[int], columns: list[str], batch_rows: int) -> Any:
        if "geometry" in columns and groups:
            read.append((self.path, groups))
        return batches(self, groups, columns, batch_rows)

    monkeypatch.setattr(parquet_files.ParquetFile, "batches", recorded)
    box = BBox(11.5, 0, 18.5, 90)
    address = f"s3://maps-us-west-2/{RELEASE}{below}"
    index = geoindex.build(address, tmp_path / "s3.geoindex", bbox=box, encoder="tagpool")
    # one row group of one file
    assert read == [(f"maps-us-west-2/{RELEASE}/{PART.format(0)}", [1])]
    plain = geoindex.build(release, tmp_path / "folder.geoindex", bbox=box, encoder="tagpool")
    assert len(index.entities) == 7
    assert index.entities.table.equals(plain.entities.table)
    assert index.manifest.skipped == plain.manifest.skipped == {"outside_bbox": 93}
    source = index.manifest.sources[0]
    assert source["path"] == address
    assert source["timestamp"] == "2026-01-21T00:00:00Z"
    assert source["licence"] == "CDLA-Permissive-2.0"
    assert source["blake2b"] == open_source(Path(address)).describe().blake2b


def test_one_object_is_read(bucket: Any) -> None:
    source = open_source(Path(f"s3://maps-us-west-2/{RELEASE}/{PART.format(1)}"))
    assert source.describe().licence == "CDLA-Permissive-2.0"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://maps-us-west-2/release/1999", "no Parquet file in s3://maps-us-west-2/release/1999"),
        ("s3://other-us-west-2/release", "s3://other-us-west-2/release"),
    ],
)
def test_what_is_not_in_a_bucket_is_one_sentence(bucket: Any, address: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as error:
        open_source(Path(address)).describe()
    assert "AWS_REGION" in str(error.value)


def test_a_map_in_a_bucket_is_fetched_once(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOINDEX_CACHE", str(tmp_path / "cache"))
    osm = OsmFile()
    osm.node(7.4, 43.7, amenity="cafe")
    path = osm.write(tmp_path / "town.osm.pbf")
    put(bucket, path, "maps-us-west-2/town.osm.pbf")
    heard = RecordingReporter()
    located = locate([Path("s3://maps-us-west-2/town.osm.pbf")], heard)
    assert located.paths[0].read_bytes() == path.read_bytes()
    assert located.origins == {located.paths[0]: "s3://maps-us-west-2/town.osm.pbf"}
    assert len(heard.stages) == 1
    again = locate([Path("s3://maps-us-west-2/town.osm.pbf")], heard)
    assert again == located
    assert len(heard.stages) == 1
    with pytest.raises(SourceError, match="AWS_ENDPOINT_URL"):
        locate([Path("s3://maps-us-west-2/none.osm.pbf")], heard)
