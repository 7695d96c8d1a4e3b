"""What was measured? The top of the report: who leads, places, split, seeds, and the legend."""

from geoindex.evaluation.baselines.base import CONSTANT
from geoindex.evaluation.report_charts import CHOSEN_SHAPE, legend_mark
from geoindex.evaluation.report_content import SPLIT_NAMES, UNIT_NAMES, Content, unique
from geoindex.evaluation.report_html import Html, element, joined, name_of, plural
from geoindex.evaluation.report_lead import Lead, lead_of

_LEAKS = (
    "This is a random split: a cell that is tested has its neighbours in training, and neighbours "
    "are alike. These scores are too good. They are here to show by how much; use the spatial "
    "split for any claim."
)


def header(content: Content) -> Html:
    """Return the top of the page."""
    pairs = [(split, unit) for split in content.splits for unit in UNIT_NAMES]
    leads = [lead for lead in (lead_of(content, *pair) for pair in pairs) if lead is not None]
    has_leak = "random" in (*content.splits, content.split["name"])
    warning = joined(element("strong", "Neighbours leak. "), _LEAKS)
    return element(
        "header",
        element("p", "geoindex evaluation", class_="brand"),
        element("p", warning, class_="banner", role="alert") if has_leak else None,
        element("h1", leads[0].headline if leads else "Nothing was ranked."),
        *(_doubt(lead, has_headline=i > 0) for i, lead in enumerate(leads)),
        _facts(content),
        _legend(content),
    )


def _doubt(lead: Lead, *, has_headline: bool) -> Html:
    headline = element("b", lead.headline, " ") if has_headline else None
    return element("p", headline, f"{lead.doubt} {lead.heads}".strip(), class_="doubt")


def _facts(content: Content) -> Html:
    meta, split = content.meta, content.split
    places = meta.get("places") or []
    names = [name_of(place["name"]) for place in places]
    words = [joined(", " if i else "", name) for i, name in enumerate(names)]
    entities, cells = (
        sum(place.get(key) or 0 for place in places) for key in ("entities", "cells")
    )
    folds = split.get("num_folds")
    detail = [f"{folds} folds"] if folds and split["name"] != "places" else []
    if split["name"] == "spatial" and split.get("gap") is not None:
        detail.append(f"gap of {plural(split['gap'], 'ring')}")
    seeds = meta.get("seeds") or []
    num_tasks = len(unique(record.task for record in content.records))
    facts = [
        (plural(len(places), "place"), joined(*words)),
        (f"{cells:,} cells", f"of H3 resolution {meta.get('resolution', '?')}"),
        (f"{entities:,} entities", "with their tags and geometry"),
        (SPLIT_NAMES.get(split["name"], split["name"]), ", ".join(detail)),
        (plural(len(seeds), "seed"), "each splits and fits anew"),
        (
            plural(num_tasks, "task"),
            f"{plural(len(content.rows), 'row')} × {plural(len(content.heads), 'head')}",
        ),
    ]
    return element(
        "dl",
        *(element("div", element("dt", what), element("dd", how)) for what, how in facts),
        class_="facts",
    )


def _legend(content: Content) -> Html:
    rows = (
        element(
            "span",
            element("i", class_=f"dot {content.colour(row)}"),
            element("b", row),
            f" {content.titles.get(row, '')}".rstrip(),
        )
        for row in content.rows
    )
    heads = [element("span", legend_mark(i), head) for i, head in enumerate(content.heads)]
    heads.append(element("span", legend_mark(CHOSEN_SHAPE), "chosen by validation, fold by fold"))
    if CONSTANT in content.rows:
        heads.append(element("span", element("i", class_="dash"), "constant: nothing is known"))
    heads.append(
        element("span", element("i", class_="whisker"), "95 % interval, over seeds and blocks")
    )
    return joined(element("p", *rows, class_="legend rows"), element("p", *heads, class_="legend"))
