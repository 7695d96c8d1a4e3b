"""The page in a real browser: what it shows, asks and never does."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

import geoindex
from tests.geoindex.serve.conftest import HOSTILE_NAMES
from tests.support.browser import Watched, browsing, serving
from tests.support.command import run

PAGE = resources.files("geoindex.serve") / "page"
Opener = Callable[..., Watched]


@pytest.fixture(scope="module")
def base(town: Path, real: Path) -> Iterator[str]:
    with serving([town, real]) as address:
        yield address


@pytest.fixture(scope="module")
def opener() -> Iterator[Opener]:
    with browsing() as opened:
        yield opened


@pytest.fixture
def watched(opener: Opener, base: str) -> Iterator[Watched]:
    found = opener(base)
    yield found
    found.page.context.close()
    assert found.faults == []


def test_vendored_files_are_those_that_were_checked() -> None:
    lines = (PAGE / "vendor" / "README.md").read_text("utf-8").splitlines()
    listed = dict(reversed(line.split()) for line in lines if line.startswith("    "))
    assert len(listed) == 4
    for name, digest in listed.items():
        assert hashlib.sha512((PAGE / "vendor" / name).read_bytes()).hexdigest() == digest
    assert "Redistribution and use" in (PAGE / "vendor" / "LICENSE.txt").read_text("utf-8")


def test_page_code_reads_no_html_and_names_no_other_server() -> None:
    for name in ("main.js", "dom.js", "words.js", "api.js", "mapview.js", "mapstyle.js"):
        text = (PAGE / name).read_text("utf-8")
        for wrong in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "setHTML",
        ):
            assert wrong not in text, f"{wrong} in {name}"
    page = (PAGE / "index.html").read_text("utf-8")
    assert "http" not in page.replace("http-equiv", "")
    assert "<script>" not in page
    assert "style=" not in page


def web(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that drives the browser; all of them share one."""
    for mark in (pytest.mark.web, pytest.mark.slow, pytest.mark.xdist_group("web")):
        test = mark(test)
    return test


@web
def test_start_shows_landmarks_and_the_map(watched: Watched) -> None:
    watched.open()
    watched.page.wait_for_selector(".places button")
    assert watched.page.locator(".places .name").all_text_contents()[:1] != []
    assert len(watched.rendered("building")) > 20
    assert {each["name"] for each in watched.rendered("street")} >= {"Street 3"}


@web
def test_search_select_similar_thumb_and_heat(watched: Watched) -> None:
    page = watched.page
    watched.open()
    page.keyboard.press("/")
    page.keyboard.type("old muse")
    page.wait_for_selector("#found li[aria-selected=true]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card h3")
    assert page.locator(".card h3").text_content() == "Old Museum"
    assert "Street 1 4" in page.locator(".card").text_content()
    watched.page.click(".back")
    page.fill("#q", "Cafe 0-0")
    page.wait_for_selector("#found li[aria-selected=true]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#similar")
    page.click("#similar")
    page.wait_for_selector(".hit")
    assert page.locator(".hit").count() == 20
    assert page.locator(".hit .why span").count() > 10
    assert "same kind" in page.locator(".hit .why").first.text_content()
    watched.idle()
    ranks = {each["rank"] for each in watched.rendered("hit")}
    assert ranks == set(range(1, 21))
    # the second hit is no good: it leaves the list and is among the labels
    page.keyboard.press("j")
    page.keyboard.press("j")
    bad = page.locator(".hit.current").get_attribute("data-id")
    page.keyboard.press("n")
    page.wait_for_selector(".tray .chip.unlike")
    watched.until(lambda: page.locator(f'.hit[data-id="{bad}"]').count() == 0)
    assert f"unlike={bad}" in page.url
    page.click("#heat")
    page.wait_for_selector("#legend .ramp")
    watched.idle()
    cells = page.evaluate(
        "window.geoindex.map.queryRenderedFeatures({layers: ['heat-cells']})"
        ".map((f) => f.state.heat)"
    )
    assert len(cells) > 3
    assert all(0 <= each <= 1 for each in cells)


@web
def test_a_click_chooses_the_place_and_hits_hover_together(watched: Watched) -> None:
    page = watched.page
    watched.open("/#ix=town&at=17/60.17/24.94")
    spot = page.evaluate(
        "() => { const f = window.geoindex.map.queryRenderedFeatures({layers: ['point']})"
        ".find((f) => f.properties.name?.startsWith('Cafe'));"
        " const p = window.geoindex.map.project(f.geometry.coordinates);"
        " return [p.x, p.y, f.properties.name]; }"
    )
    left = page.locator("#map").bounding_box()
    x, y, name = left["x"] + spot[0], left["y"] + spot[1], spot[2]
    page.mouse.move(x, y)
    watched.until(lambda: name in (page.locator("#tip").text_content() or ""), "the tip")
    page.mouse.click(x, y)
    page.wait_for_selector(".card h3")
    assert page.locator(".card h3").text_content() == name
    page.click("#similar")
    page.wait_for_selector(".hit")
    watched.idle()
    page.hover(".hit >> nth=0")
    state = "window.geoindex.map.getFeatureState({source: 'hits', id: 0}).hover"
    watched.wait(state)


@web
def test_compare_has_two_maps_at_one_scale(watched: Watched) -> None:
    page = watched.page
    watched.open()
    page.fill("#q", "Cafe 4-4")
    page.wait_for_selector("#found li[aria-selected=true]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#similar")
    page.click("#similar")
    page.click(".hit >> nth=0")
    page.click("#to-compare")
    page.wait_for_selector("#compare[open] .mini canvas")
    assert page.locator("#compare .mini canvas").count() == 2
    scales = page.locator("#compare .maplibregl-ctrl-scale").all_text_contents()
    assert len(set(scales)) == 1
    text = page.locator("#compare").text_content()
    assert "Tags" in text
    assert "amenity = cafe" in text
    page.keyboard.press("Escape")
    watched.until(lambda: page.locator("#compare[open]").count() == 0)


@web
def test_a_link_brings_everything_back_and_files_are_written(
    watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    watched.open()
    page.fill("#q", "Cafe 4-4")
    page.wait_for_selector("#found li[aria-selected=true]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#similar")
    page.click("#similar")
    page.wait_for_selector(".hit")
    page.click("summary")
    page.click("text=Has a name")
    watched.until(lambda: "named=1" in page.url)
    page.wait_for_selector("#content:not(.busy) .hit")
    shown = page.locator(".hit").evaluate_all("all => all.map((each) => each.dataset.id)")
    assert all("unnamed" not in name for name in page.locator(".hit .name").all_text_contents())
    with page.expect_download() as started:
        page.click("text=GeoJSON")
    written = json.loads(Path(started.value.path()).read_text("utf-8"))
    assert [feature["id"] for feature in written["features"]] == shown
    with page.expect_download() as started:
        page.click("text=Save session")
    session = json.loads(Path(started.value.path()).read_text("utf-8"))
    assert [each["properties"]["label"] for each in session["features"]] == [1]
    link = page.url.removeprefix(watched.base)
    page.goto("about:blank")
    watched.open(link)
    page.wait_for_selector(".hit")
    again = page.locator(".hit").evaluate_all("all => all.map((each) => each.dataset.id)")
    assert again == shown
    # the session, read back
    path = tmp_path / "session.geojson"
    path.write_text(json.dumps(session), "utf-8")
    page.click("text=Clear")
    page.wait_for_selector(".places")
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector(".tray .chip.like")


@web
def test_copied_command_and_python_answer_the_same(
    watched: Watched, town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(town.parent)
    index = geoindex.open(town)
    name = index.query(tags="amenity=cafe", where="name=Cafe*", k=1).ids[0]
    query = {
        "like": [name], "unlike": [index.query(tags="amenity=bank", k=1).ids[0]],
        "where": "name=*", "bbox": [24.93, 60.16, 24.95, 60.19], "not_within": "50m", "k": 7,
    }  # fmt: skip
    hits = index.query(geoindex.Query.from_dict(query))
    assert len(hits) == 7
    watched.open()
    command, script = watched.page.evaluate(
        "([path, query]) => import('/page/words.js').then((m) => "
        "[m.asCommand(path, query, ''), m.asPython(path, query, '')])",
        ["town.geoindex", query],
    )
    program, *arguments = shlex.split(command)
    assert program == "geoindex"
    printed = json.loads(run(*arguments, "-f", "json").stdout)
    assert [hit["feature_id"] for hit in printed["hits"]] == hits.ids
    found: dict[str, geoindex.Hits] = {}
    exec(script, found)  # noqa: S102 - what a user would run
    assert found["hits"].ids == hits.ids


@web
def test_hostile_names_are_text_and_run_nothing(watched: Watched) -> None:
    page = watched.page
    watched.open("/#ix=town&at=17/60.1692/24.942")
    for name in HOSTILE_NAMES:
        page.fill("#q", name)
        page.wait_for_selector("#found li")
    page.fill("#q", "img src=x onerror")
    page.wait_for_selector("#found li[aria-selected=true]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card h3")
    assert page.locator(".card h3").text_content() == HOSTILE_NAMES[0]
    page.click("#similar")
    page.wait_for_selector(".hit")
    page.click(".hit >> nth=0")
    page.click("#to-compare")
    page.wait_for_selector("#compare[open] canvas")
    watched.idle()
    assert page.evaluate("window.hacked === undefined")
    assert page.locator("#app img[src=x], #app script, #app svg[onload]").count() == 0


@web
def test_faults_are_shown_with_what_to_do(opener: Opener, base: str) -> None:
    watched = opener(base)
    watched.page.goto(f"{base}/#ix=town&like=way/999999999")
    watched.page.wait_for_selector(".fault")
    assert "is not among the" in watched.page.locator(".fault").text_content()
    assert watched.page.locator(".fault .chip").count() == 3
    # the browser itself writes the answers 404 to its console
    assert all(
        fault.startswith(("answer: 404", "console: Failed to load")) for fault in watched.faults
    )
    watched.page.context.close()


@web
def test_narrow_and_dark(opener: Opener, base: str) -> None:
    watched = opener(base, width=390, height=780, dark=True)
    page = watched.page
    watched.open()
    page.wait_for_selector(".places button")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    panel, stage = (page.locator(name).bounding_box() for name in ("#panel", "#stage"))
    assert panel["width"] == stage["width"] == 390
    assert stage["height"] > 300
    before = panel["height"]
    page.click("#sheet")
    watched.until(lambda: page.locator("#panel").bounding_box()["height"] > before + 100)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    watched.idle()
    page.context.close()
    assert watched.faults == []


@web
@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_and_controls_have_names(opener: Opener, base: str, dark: bool) -> None:
    watched = opener(base, dark=dark)
    page = watched.page
    watched.open()
    page.fill("#q", "Cafe 4-4")
    page.wait_for_selector("#found li[aria-selected=true]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#similar")
    page.click("#similar")
    page.wait_for_selector(".hit")
    low = page.evaluate(_LOW_CONTRAST)
    assert low == []
    unnamed = page.evaluate(
        "[...document.querySelectorAll('#app button, #app select, #app input')].filter((e) =>"
        " e.offsetParent && !e.ariaHidden"
        " && !(e.textContent.trim() || e.ariaLabel || e.title || e.labels?.length))"
        ".map((e) => e.outerHTML)"
    )
    assert unnamed == []
    page.context.close()
    assert watched.faults == []


# texts of the panel whose colour is less than 4.5 to 1 from what lies behind them (WCAG 2, AA)
_LOW_CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * linear(c[0] / 255) + 0.7152 * linear(c[1] / 255)
    + 0.0722 * linear(c[2] / 255);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  const found = [];
  for (const e of document.querySelectorAll('#panel *')) {
    if (!e.offsetParent || !hasText(e)) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${e.className} ${ratio.toFixed(2)} ${e.textContent.slice(0, 30)}`);
  }
  return found;
}"""
