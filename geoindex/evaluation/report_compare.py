"""Which row beats which, on the page? Wins, ties and losses, and the row on trial task by task."""

from geoindex.evaluation.comparing import LOSES, WINS
from geoindex.evaluation.judging import CHOSEN
from geoindex.evaluation.markdown_compare import on_trial, tally_lines, trial_lines, under
from geoindex.evaluation.markdown_tables import Line
from geoindex.evaluation.report_content import SPLIT_NAMES, UNIT_NAMES, Content
from geoindex.evaluation.report_html import Html, element, folded, joined, name_of, table

# as in the tables of scores: what leads is painted
_PAINT = {WINS: "first", LOSES: "near"}


def compared(content: Content) -> Html | None:
    """Return all rows against all in each split, and behind a fold the row on trial."""
    figures = [
        figure
        for split in content.splits
        for unit in UNIT_NAMES
        if (figure := _figure(content, split, unit)) is not None
    ]
    return element("div", *figures, class_="grid") if figures else None


def _figure(content: Content, split: str, unit: str) -> Html | None:
    items = under(content.items("comparisons"), CHOSEN)
    tally = tally_lines(items, split, unit)
    if len(tally) < 2:
        return None
    name = UNIT_NAMES[unit].capitalize()
    if len(content.splits) > 1:
        name += f", {SPLIT_NAMES.get(split, split)}"
    trial = on_trial(content.meta)
    lines = trial_lines(items, trial, split, unit)
    told = "won / tied / lost by the row at the left"
    return element(
        "figure",
        element("figcaption", element("b", name), f" {told}"),
        _table([["", *tally[0][1:]], *tally[1:]], f"{name}: {told}"),
        folded(f"{trial} in each task", _table(lines, f"{trial} in each task"))
        if len(lines) > 1
        else None,
        class_="card glance span" if len(tally) > _MOST_NARROW else "card glance",
    )


# a table of more rows takes the whole width
_MOST_NARROW = 5


def _table(lines: list[Line], caption: str) -> Html:
    head, *rest = lines
    rows = [[name_of(line[0]), *map(_cell, line[1:])] for line in rest]
    return table(head, rows, caption=caption)


def _cell(text: str) -> Html:
    plain = text.replace("*", "")
    verdict, _, numbers = plain.partition(" ")
    if verdict in _PAINT:
        return joined(element("span", verdict, class_=_PAINT[verdict]), f" {numbers}")
    return joined(plain)
