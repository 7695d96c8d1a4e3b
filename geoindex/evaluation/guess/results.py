"""Guesses as Python values, JSON, CSV and text."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_COLUMNS = ("feature_id", "kind", "name", "lon", "lat", "rank", "guess", "probability", "because")


@dataclass(frozen=True)
class Support:
    """An entity that says so: one of the nearest, of the kind that is guessed.

    Attributes
    ----------
    feature_id, name
        Of the entity; the name is "" where it has none.
    similarity
        Cosine of the two vectors, -1 to 1.
    index
        The name of its index.
    """

    feature_id: str
    name: str
    similarity: float
    index: str


@dataclass(frozen=True)
class Guess:
    """A main tag that an entity may have.

    Attributes
    ----------
    tag
        ``key=value``.
    probability
        0 to 1; those of all tags add up to 1.
    because
        The nearest that have it, nearest first; may be empty.
    """

    tag: str
    probability: float
    because: tuple[Support, ...]


@dataclass(frozen=True)
class GuessedEntity:
    """An entity and what it may be, the likeliest first."""

    feature_id: str
    kind: str
    name: str
    lon: float
    lat: float
    guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class Guesses(Sequence[GuessedEntity]):
    """What entities may be, in the order of the index.

    Attributes
    ----------
    found
        One an entity.
    notes
        What was decided on the way.
    about
        Path, encoder and attribution of the index.
    """

    found: tuple[GuessedEntity, ...]
    notes: tuple[str, ...]
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, place: Any) -> Any:
        return self.found[place]

    def __iter__(self) -> Iterator[GuessedEntity]:
        return iter(self.found)

    def records(self) -> list[dict[str, Any]]:
        """Return one flat record a guess."""
        return [
            {
                "feature_id": each.feature_id,
                "kind": each.kind,
                "name": each.name,
                "lon": each.lon,
                "lat": each.lat,
                "rank": rank,
                "guess": guess.tag,
                "probability": round(guess.probability, 4),
                "because": [support.feature_id for support in guess.because],
            }
            for each in self.found
            for rank, guess in enumerate(each.guesses, 1)
        ]

    def to_text(self, form: str) -> str:
        """Return all of it as ``"json"``, or a line a guess as ``"csv"``."""
        if form == "csv":
            file = io.StringIO()
            writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            for record in self.records():
                writer.writerow({**record, "because": " ".join(record["because"])})
            return file.getvalue()
        content = {"index": dict(self.about), "entities": [_plain(asdict(x)) for x in self.found]}
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _plain(value: Any) -> Any:
    """Round for diffs that stay small."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
