"""The page holds every score, loads nothing, and no name from a map becomes markup."""

import base64
import hashlib
import html
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.stats import binomtest

from geoindex.errors import OutputError
from geoindex.evaluation.paired_comparison import verdict_of
from geoindex.evaluation.report.page import report_html, write_report
from geoindex.evaluation.report.summary import sign_test
from geoindex.evaluation.results import Rank, Record, Results, ranks_of
from geoindex.evaluation.score_heads import CHOSEN
from geoindex.report.charts import Scale, scale_of

HOSTILE = "</script><script>alert(1)</script>\"'&amp;<b onclick=x> مقهى 咖啡 \u202e\ud800\x00"
ROWS = ("constant", "counts", "svd", "tagpool")
HEADS = ("knn", "ridge", "mlp")
OSM = "https://www.openstreetmap.org/"
CELL = "891f1d48177ffff"
_VOID = {"meta", "br", "input", "link", "img", "hr"}


class Page(HTMLParser):
    """Text, tags and attributes; what was opened must be closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pytest.fail(f"<{tag}/> is no HTML")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)


def record(task, row, head, value, **changes):
    known = {
        "split": "spatial", "task": task, "title": f"Title of {task}", "unit": "cell",
        "masked": True, "row": row, "focus": None, "head": head, "metric": "r2",
        "higher_is_better": True, "value": value, "low": value - 0.03, "high": value + 0.03,
        "per_seed": [value - 0.01, value, value + 0.01], "per_fold": [[value, None]], "n": 1234,
        "is_main": True,
    }  # fmt: skip
    return Record(**(known | changes))


def records(num_tasks=2, *, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for i in range(num_tasks):
        for row in ROWS:
            for head in (*HEADS, CHOSEN):
                for masked in (False, True):
                    value = 0.0 if row == "constant" else float(rng.uniform(-0.2, 0.95))
                    found.append(record(f"task{i}", row, head, value, masked=masked))
                    other = {"metric": "mae", "higher_is_better": False, "is_main": False}
                    value = float(rng.uniform(1, 5000))
                    found.append(record(f"task{i}", row, head, value, masked=masked, **other))
    for row in ROWS:
        for focus in ("own", "context"):
            entity = {"unit": "entity", "focus": focus, "metric": "macro_f1"}
            found.append(record("road_class", row, CHOSEN, float(rng.uniform(0, 1)), **entity))
    return found


def comparisons(scores):
    """Every chosen main score against tagpool's, with an interval of 0.1 both ways."""
    chosen = [item for item in scores if item.is_main and item.head == CHOSEN]
    trial = {(item.task, item.masked, item.focus): item for item in chosen if item.row == "tagpool"}
    found = []
    for item in chosen:
        if item.row in {"constant", "tagpool"}:
            continue
        apart = item.value - trial[item.task, item.masked, item.focus].value
        low, high = apart - 0.1, apart + 0.1
        found.append(
            {
                "split": "spatial", "task": item.task, "unit": item.unit, "masked": item.masked,
                "metric": item.metric, "row": item.row, "focus": item.focus, "other": "tagpool",
                "other_focus": item.focus, "head": CHOSEN,
                "difference": apart, "low": low, "high": high, "verdict": verdict_of(low, high),
            }
        )  # fmt: skip
    return found


def hit(name, url=OSM + "node/1"):
    return {
        "feature_id": "node/1", "kind": "amenity=cafe", "name": name, "place": "monaco",
        "lon": 7.42, "lat": 43.73, "osm_url": url, "similarity": 0.912345,
    }  # fmt: skip


def results(num_tasks=2, num_points=50, name="Café"):
    rng = np.random.default_rng(1)
    scores = records(num_tasks)
    unit = {"place": name, "cell": CELL, "lon": 13.0, "lat": 55.6}
    made = Results(
        meta={
            "geoindex_version": "9.8.7", "code_version": "abc", "created": "2026-01-01T00:00:00",
            "seconds": 12.34, "resolution": 9, "fingerprint": "f", "seeds": [0, 1, 2],
            "split": {"name": "spatial", "num_folds": 5, "block_resolution": None, "gap": 1},
            "places": [{"name": name, "path": f"{name} x.geoindex", "entities": 99, "cells": 12}],
            "rows": [{"name": row, "fingerprint": "1", "title": f"{row} <i>"} for row in ROWS],
            "heads": list(HEADS),
            "tasks": [{"name": "task0", "title": f"Title {name}", "unit": "cell", "base": 3.5,
                       "kind": "regression", "classes": None, "n": {}}],
        },
        records=scores,
        ranks=ranks_of(scores),
        comparisons=comparisons(scores),
        retrieval=[
            {"row": row, "focus": "own", "score": "half_to_half_mrr", "value": 0.123456 + i,
             "higher_is_better": True, "n": 10, "chance": 0.01}
            for i, row in enumerate(ROWS)
        ],
        collapse=[
            {"row": row, "table": "cells", "focus": None, "number": "uniformity",
             "value": -1.98765, "dim": 64, "n": 10}
            for row in ROWS
        ],
        maps={
            row: {
                "table": "entities", "focus": "own", "explained": [0.4, 0.2],
                "points": [
                    [float(x), float(y), f"kind={name}" if x > 0 else "building"]
                    for x, y in rng.normal(size=(num_points, 2))
                ],
            }
            for row in ROWS[1:]
        },
        errors=[
            {"task": "task0", "row": "svd", "head": "mlp", "seed": 0, "units": [
                {**unit, "truth": 210.5, "predicted": 20.25},
                {**unit, "lon": 13.02, "truth": 10.0, "predicted": 12.0},
                {**unit, "lon": 13.04, "truth": True, "predicted": False},
                {**unit, "cell": name, "lon": 13.01, "truth": name, "predicted": "farmland"},
            ]},
        ],
        examples=[{"row": "svd", "focus": "own", "asked": hit(name), "hits": [hit("Other")] * 3}],
        notes=[f"left out: {name}"],
    )  # fmt: skip
    return made.as_dict()


def shown(value):
    return f"{value:,.3f}".replace("-", "−")


def section(text, title):
    """The part of a page under a heading."""
    return text.split(f"<h2>{title}</h2>")[1].split("<h2>")[0]


def test_every_score_is_in_the_page():
    made = results()
    text = Page(report_html(made)).text
    values = [item["value"] for name in ("records", "retrieval", "collapse") for item in made[name]]
    assert [value for value in values if shown(value) not in text] == []


def test_every_interval_is_in_a_table():
    made = results()
    text = Page(report_html(made)).text
    for item in made["records"]:
        assert f"{shown(item['low'])} to {shown(item['high'])}" in text


def test_nothing_is_loaded_and_links_lead_to_openstreetmap_alone():
    page = report_html(results(name=HOSTILE))
    attributes = Page(page).attributes
    names = {name for _, name, _ in attributes}
    assert not names & {"src", "srcset", "action", "data", "poster", "background"}
    for tag, name, value in attributes:
        if "href" in name:
            assert value.startswith("#") or (tag == "a" and value.startswith(OSM))
        assert not name.startswith("on")
        assert "url(" not in (value or "")
    assert not re.search(r"@import|url\(|https?://(?!www\.openstreetmap\.org/)", page)
    policies = [value for _, name, value in attributes if name == "content"]
    (policy,) = (value for value in policies if "default-src 'none'" in value)
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "style" not in names


def test_hostile_names_are_text():
    plain, hostile = report_html(results()), report_html(results(name=HOSTILE))
    assert Page(plain).tags == Page(hostile).tags
    assert Page(hostile).tags.count("script") == 1
    assert "<script>alert(1)" not in hostile
    assert "مقهى 咖啡" in hostile


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://evil.example/", None, 7])
def test_an_address_that_is_not_openstreetmap_is_no_link(url):
    made = results()
    made["examples"][0]["asked"] = hit("Café", url)
    page = report_html(made)
    assert "javascript:" not in page
    assert "evil.example" not in page
    assert "Café" in Page(page).text


@pytest.mark.parametrize(
    "part",
    [
        "records",
        "ranks",
        "comparisons",
        "retrieval",
        "collapse",
        "maps",
        "errors",
        "examples",
        "notes",
    ],
)
def test_a_part_that_is_empty_is_left_out(part):
    made = results()
    made[part] = type(made[part])()
    Page(report_html(made))
    del made[part]
    Page(report_html(made))


def test_results_without_anything_are_a_page():
    assert "Nothing was ranked" in Page(report_html(Results(meta={}).as_dict())).text
    assert "Nothing was ranked" in Page(report_html({})).text


def test_scores_that_are_not_known_are_said_to_be_so():
    made = results()
    for item in made["records"]:
        item.update(value=None, low=None, high=None, per_seed=[None, None])
    for name in ("retrieval", "collapse"):
        for item in made[name]:
            item.update(value=None, chance=None, dim=None)
    for item in made["ranks"]:
        item["mean_rank"] = None
    made["maps"]["svd"].update(points=[[None, 1.0, None], [0.0, 0.0, None]], explained=[None])
    made["errors"][0]["units"][0].update(lon=None, lat=None, predicted=None)
    page = report_html(made)
    text = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf)\b|None", Page(text).text)
    assert "not known" in text


def test_one_task_one_row_one_head_is_a_page():
    alone = [record("shops", "tagpool", CHOSEN, 0.5)]
    made = Results(meta={}, records=alone, ranks=ranks_of(alone)).as_dict()
    text = Page(report_html(made)).text
    assert "tagpool leads on cells" in text
    assert "Mean rank 1.00 over 1 task" in text


def test_the_same_results_give_the_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_report(results(), tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_a_page_that_is_there_takes_overwrite(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputError, match="overwrite"):
        write_report(results(), path)
    assert path.read_text() == "mine"
    write_report(results(), path, overwrite=True)
    assert path.read_text("utf-8").startswith("<!doctype html>")


def test_a_large_evaluation_stays_small():
    assert len(report_html(results(num_tasks=12, num_points=3000)).encode()) < 1_500_000


def test_masked_labels_come_first():
    page = report_html(results())
    cards = section(page, "Tasks of cells").split("<article")[1:]
    assert len(cards) == 2
    for card in cards:
        assert card.index("Labels masked") < card.index("Labels visible")


def test_constant_is_the_zero_line_of_a_task_and_no_band():
    cards = section(report_html(results()), "Tasks of cells")
    assert "constant 0.000" in cards
    names = re.findall(r'<div class="names".*?</div>', cards)
    assert names
    assert not any("constant" in name for name in names)


def test_the_last_method_is_compared_in_each_task():
    made = results()
    # what opened before the heading closes after it
    told = html.unescape(section(report_html(made), "Method against method"))
    for item in made["comparisons"]:
        # from tagpool's side, which was named last
        shown = f"[{-item['high']:+.3f}, {-item['low']:+.3f}]"
        assert shown in told
    verdicts = [item["verdict"] for item in made["comparisons"] if item["unit"] == "cell"]
    assert {"wins", "loses"} <= set(verdicts)
    assert "won / tied / lost" in told


def test_the_picker_fades_all_but_the_chosen_heads():
    cards = section(report_html(results()), "Tasks of cells")
    assert cards.count('value="chosen"') == 1
    assert 'data-in="chosen"' in cards


def test_skipped_tasks_stand_at_the_top():
    made = results()
    notes = ["car_bridges: left out: too few", "car_bridges masked: left out: too few", "another"]
    made["notes"] = notes
    page = report_html(made)
    top = page.split("<h2>Ranks</h2>")[0]
    assert "1 task was skipped" in top
    assert all(note in top for note in notes[:2])
    assert "another" in section(page, "Notes")
    assert notes[0] not in section(page, "Notes")


def test_a_random_split_is_said_aloud():
    made = results()
    assert "Neighbours leak" not in report_html(made)
    for item in (*made["records"], *made["ranks"]):
        item["split"] = "random"
    made["meta"]["split"]["name"] = "random"
    assert "Neighbours leak" in report_html(made)


def test_the_page_names_its_source_and_version():
    text = Page(report_html(results())).text
    assert "© OpenStreetMap contributors, ODbL" in text
    assert "geoindex 9.8.7" in text
    assert "geoindex evaluate 'Café x.geoindex' --split spatial --seeds 3" in text


def lead(num_tasks, *, gap):
    """A row ahead of another by `gap` in every task; intervals reach 0.03 both ways."""
    scores = [
        record(f"t{i}", row, CHOSEN, value)
        for i in range(num_tasks)
        for row, value in (("tagpool", 0.6), ("svd", 0.6 - gap), ("constant", 0.0))
    ]
    made = Results(meta={}, records=scores, ranks=ranks_of(scores))
    return Page(report_html(made.as_dict())).text


def test_a_lead_of_few_tasks_is_not_significant():
    text = lead(4, gap=0.2)
    assert "tagpool leads on cells, but not significantly" in text
    assert "Mean rank 1.00" in text


def test_a_lead_in_every_one_of_many_tasks_is_significant():
    text = lead(8, gap=0.2)
    assert "tagpool leads on cells" in text
    assert "but not significantly" not in text
    assert "Better than svd in 8 of 8 comparisons" in text
    assert "in 8 of them with 95 % intervals that do not overlap" in text


def test_rows_of_the_same_mean_rank_share_the_lead():
    scores = [
        record(f"t{i}", row, CHOSEN, value)
        for i in range(4)
        for row, value in (("tagpool", 0.5 + i % 2 / 10), ("svd", 0.6 - i % 2 / 10))
    ]
    made = Results(meta={}, records=scores, ranks=ranks_of(scores))
    assert "svd and tagpool share the lead on cells" in Page(report_html(made.as_dict())).text


def test_a_task_has_one_vote_whether_its_labels_are_masked_or_visible():
    scores = [
        record(f"t{i}", row, CHOSEN, value, masked=masked)
        for i in range(4)
        for masked in (True, False)
        for row, value in (("tagpool", 0.6), ("svd", 0.5))
    ]
    made = Results(meta={}, records=scores, ranks=ranks_of(scores))
    text = Page(report_html(made.as_dict())).text
    assert "Better than svd in 8 of 8 comparisons" in text
    assert f"p = {binomtest(4, 4).pvalue:.3f}" in text
    assert "but not significantly" in text


def test_intervals_that_meet_are_not_clear():
    assert "in 0 of them with 95 % intervals" in lead(8, gap=0.01)
    assert "tagpool leads, but overlaps with svd" in lead(8, gap=0.01)
    assert "tagpool leads clearly" in lead(8, gap=0.2)


def test_a_score_where_less_is_better_leads_when_it_is_less():
    less = {"metric": "mae", "higher_is_better": False}
    scores = [
        record(f"t{i}", row, CHOSEN, value, **less)
        for i in range(8)
        for row, value in (("tagpool", 2.0), ("svd", 3.0))
    ]
    made = Results(meta={}, records=scores, ranks=ranks_of(scores))
    text = Page(report_html(made.as_dict())).text
    assert "mean absolute error, lower is better" in text
    assert "tagpool leads clearly" in text
    assert "Better than svd in 8 of 8 comparisons" in text


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (4, 2), (2, 4), (8, 0), (15, 5)])
def test_the_sign_test_agrees_with_scipy(wins, losses):
    want = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(want)


def test_a_score_far_worse_than_nothing_does_not_squeeze_the_others():
    scale = scale_of([0.5, 0.7, -40.0], zero=0.0)
    assert -1 < scale.low < 0
    assert scale.high > 0.7
    assert scale.at(-40.0) == "0.00%"


@pytest.mark.parametrize("values", [[], [math.nan], [1.0], [0.0, 0.0], [1e-9, 2e-9], [-5, 1e6]])
def test_any_values_have_a_scale_with_round_ticks(values):
    scale = scale_of(values)
    ticks = [value for value, _ in scale.ticks()]
    assert scale.low < scale.high
    assert 1 <= len(ticks) <= 12
    assert all(scale.holds(tick) for tick in ticks)


def test_ticks_are_round():
    assert [text for _, text in Scale(-0.01, 1.01).ticks()][0::5] == ["0.0", "1.0"]


def test_ranks_of_another_split_stay_apart():
    made = results()
    other = [Rank("random", "cell", "svd", None, CHOSEN, 1.0, 2)]
    made["ranks"] += [vars(rank) for rank in other]
    made["records"] += [{**item, "split": "random"} for item in made["records"]]
    text = Page(report_html(made)).text
    assert "Neighbours leak" in text
    assert "(spatial blocks)" in text
    assert "(random split)" in text
