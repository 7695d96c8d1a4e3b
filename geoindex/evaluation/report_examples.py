"""What was found? A place that was asked about, and what each row calls alike."""

from collections.abc import Sequence
from typing import Any

from geoindex.evaluation.report_content import Content, name_row, unique
from geoindex.evaluation.report_html import (
    OSM,
    Html,
    element,
    is_number,
    joined,
    link,
    name_of,
    number,
    place_url,
)


def examples(content: Content) -> Html | None:
    """Return what was asked and what each row found; None where there are no examples."""
    found = content.items("examples")
    if not found:
        return None
    cards = []
    for asked in unique(
        (item["asked"].get("feature_id"), item["asked"].get("place")) for item in found
    ):
        items = [
            item
            for item in found
            if (item["asked"].get("feature_id"), item["asked"].get("place")) == asked
        ]
        cards.append(_example(content, items))
    return joined(*cards)


def _example(content: Content, items: Sequence[dict[str, Any]]) -> Html:
    asked = items[0]["asked"]
    columns = []
    for item in items:
        name = element(
            "h4", name_row(item["row"], item.get("focus")), class_=content.colour(item["row"])
        )
        hits = (_hit(hit, asked) for hit in item["hits"])
        columns.append(element("div", name, element("ol", *hits)))
    return element(
        "article",
        element("h3", "Like ", _called(asked), element("small", _where(asked))),
        element("div", *columns, class_="columns"),
        class_="card example",
    )


def _hit(hit: dict[str, Any], asked: dict[str, Any]) -> Html:
    similarity = hit.get("similarity")
    share = min(max(float(similarity), 0), 1) if is_number(similarity) else 0
    return element(
        "li",
        element("span", _called(hit), element("small", _where(hit, asked))),
        element("span", number(similarity), class_="n like", style=f"--share:{share:.3f}"),
    )


def _called(hit: dict[str, Any]) -> Html:
    """Return the name of a place, or of its kind, with its address."""
    text = str(hit.get("name") or hit.get("kind") or hit.get("feature_id") or "unnamed")
    url = hit.get("osm_url")
    if not (isinstance(url, str) and url.startswith(OSM)) and is_number(hit.get("lon")):
        url = place_url(hit["lon"], hit["lat"]) if is_number(hit.get("lat")) else None
    return link(url, name_of(text))


def _where(hit: dict[str, Any], asked: dict[str, Any] | None = None) -> Html:
    """Return the kind, where the name does not tell it, and the place, where it is another."""
    kind = hit.get("kind") if hit.get("name") else None
    place = None if asked and asked.get("place") == hit.get("place") else hit.get("place")
    words = [name_of(str(word)) for word in (kind, place) if word]
    return joined(*(joined(" · " if i else " ", word) for i, word in enumerate(words)))
