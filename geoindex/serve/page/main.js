// The explorer: one state, kept in the address, and a panel that shows it.

import * as api from "/page/api.js";
import { openCompare } from "/page/compare.js";
import { $, button, copy, download, h, icon, say, toast } from "/page/dom.js";
import { MapView, ranked } from "/page/mapview.js";
import { addressOf, asCommand, asPython, kindWords, metres, noteWords, reasons, title } from "/page/words.js";

const K = 20;
const LABELS_TO_LEARN = 5;
const FORMATS = [["geojson", "GeoJSON"], ["parquet", "GeoParquet"], ["gpkg", "GeoPackage"], ["csv", "CSV"]];
const SIZES = [["", "Any size"], ["100", "100 m² or more"], ["1000", "1,000 m² or more"], ["10000", "1 ha or more"]];
const SIGHTS = /^(amenity|shop|tourism|leisure|historic|office|craft|healthcare)=|^(railway|public_transport)=station$/;
const FURNITURE = /=(yes|bench|waste_basket|waste_disposal|parking_space|parking_entrance|bicycle_parking|vending_machine|recycling|information)$/;
const AWAY = [["", "Anywhere"], ["250", "250 m or more away"], ["1000", "1 km or more away"], ["5000", "5 km or more away"]];

const state = { ix: "", sel: "", like: [], unlike: [], kind: "", named: false, size: "", away: "", box: null, target: "", heat: false, parts: false };
const app = { indexes: [], settings: {}, about: {}, view: null, hits: null, answer: null, current: -1, places: new Map(), selected: null, asking: null };

const isDark = () => document.documentElement.dataset.theme === "dark";
const shownIndex = () => state.target || state.ix;
const describedOf = (name) => app.indexes.find((each) => each.id === name);

// the address --------------------------------------------------------------------------------

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  const list = (name) => (given.get(name) ?? "").split(",").filter(Boolean);
  const box = list("box").map(Number);
  Object.assign(state, {
    ix: describedOf(given.get("ix")) ? given.get("ix") : app.indexes[0].id, sel: given.get("sel") ?? "", like: list("like"), unlike: list("unlike"),
    kind: given.get("kind") ?? "", named: given.get("named") === "1", size: given.get("size") ?? "", away: given.get("away") ?? "",
    box: box.length === 4 && box.every(Number.isFinite) ? box : null, target: describedOf(given.get("target")) ? given.get("target") : "", heat: given.get("heat") === "1", parts: given.get("parts") === "1",
  });
  const [zoom, lat, lon] = (given.get("at") ?? "").split("/").map(Number);
  return given.has("at") && [zoom, lat, lon].every(Number.isFinite) ? { zoom, center: [lon, lat] } : null;
}

function writeHash() {
  const parts = [["ix", state.ix]];
  for (const name of ["sel", "kind", "size", "away", "target"]) if (state[name]) parts.push([name, state[name]]);
  for (const name of ["like", "unlike"]) if (state[name].length) parts.push([name, state[name].join(",")]);
  if (state.box) parts.push(["box", state.box.join(",")]);
  if (state.named) parts.push(["named", "1"]);
  if (state.heat) parts.push(["heat", "1"]);
  if (state.parts) parts.push(["parts", "1"]);
  if (app.view) {
    const { lng, lat } = app.view.map.getCenter();
    parts.push(["at", `${app.view.map.getZoom().toFixed(2)}/${lat.toFixed(5)}/${lng.toFixed(5)}`]);
  }
  const text = parts.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%2F", "/")}`).join("&");
  history.replaceState(null, "", `#${text}`);
}

// queries ------------------------------------------------------------------------------------

/** Return the query that the state asks, as its options. */
function query() {
  const found = { like: state.like };
  if (state.unlike.length) found.unlike = state.unlike;
  if (state.named) found.where = "name=*";
  if (state.box) found.bbox = state.box;
  if (state.away) found.not_within = `${state.away}m`;
  if (state.kind) found.kind = state.kind;
  if (state.size) found.min_area = `${state.size}m2`;
  if (state.parts) found.parts = true;
  found.k = K;
  return found;
}

function feedback() {
  const feature = (id, label) => {
    const place = app.places.get(id);
    const geometry = place?.lon === undefined ? null : { type: "Point", coordinates: [place.lon, place.lat] };
    return { type: "Feature", id, geometry, properties: { label, name: place?.name ?? null, kind: place?.kind ?? null } };
  };
  return { type: "FeatureCollection", features: [...state.like.map((id) => feature(id, 1)), ...state.unlike.map((id) => feature(id, 0))] };
}

async function ask({ fits = true } = {}) {
  app.asking?.abort();
  const asking = new AbortController();
  app.asking = asking;
  if (!state.like.length) {
    app.hits = app.answer = null;
    app.view.setHits([]);
    showExamples();
    render();
    return;
  }
  $("content").classList.add("busy");
  try {
    await known([...state.like, ...state.unlike]);
    const body = { query: query(), explain: true, ...(state.target ? { target: [state.target] } : {}) };
    const answer = await api.query(state.ix, body, asking.signal);
    if (asking.signal.aborted) return;
    app.answer = answer;
    app.hits = answer.features;
    app.fault = null;
    for (const hit of app.hits) if (!state.target) remember(hit);
    app.current = -1;
    app.view.setHits(app.hits);
    showExamples();
    if (fits) app.view.fit([...app.hits.map((hit) => [hit.properties.lon, hit.properties.lat]), ...(state.target ? [] : examplePoints())]);
    say(app.hits.length ? `${app.hits.length} hits; the first is ${title(app.hits[0].properties)}` : answer.empty_reason);
    if (state.heat) await heat();
  } catch (error) {
    if (error.name === "AbortError") return;
    app.hits = app.answer = null;
    app.view.setHits([]);
    app.fault = error;
    say(error.message);
  } finally {
    if (app.asking === asking) $("content").classList.remove("busy");
  }
  if (app.asking === asking) render();
}

function remember(feature) {
  const { kind, name, tags, lon, lat } = feature.properties;
  app.places.set(feature.id, { kind, name, tags, lon, lat });
}

async function known(ids) {
  const missing = ids.filter((id) => !app.places.has(id));
  await Promise.all(missing.map(async (id) => {
    try { remember(await api.entity(state.ix, id)); } catch { app.places.set(id, { kind: "", name: id, tags: {} }); }
  }));
}

const examplePoints = () => [...state.like, ...state.unlike].map((id) => app.places.get(id)).filter((p) => p?.lon !== undefined).map((p) => [p.lon, p.lat]);

function showExamples() {
  const feature = (id, like) => {
    const place = app.places.get(id);
    return place?.lon === undefined ? [] : [{ type: "Feature", properties: { like, id }, geometry: { type: "Point", coordinates: [place.lon, place.lat] } }];
  };
  app.view.set("examples", state.target ? [] : [...state.like.flatMap((id) => feature(id, true)), ...state.unlike.flatMap((id) => feature(id, false))]);
}

async function heat() {
  const ix = shownIndex();
  if (!state.heat || !state.like.length || state.target) {
    app.view.setHeat(null);
    $("legend").hidden = true;
    return;
  }
  const base = { like: state.like, ...(state.unlike.length ? { unlike: state.unlike } : {}) };
  const [cells, entities] = await Promise.all([api.scores(ix, { ...base, table: "cells" }), api.scores(ix, { ...base, table: "entities" })]);
  const [ofCells, ofEntities] = [ranked(cells), ranked(entities)];
  app.view.setHeat({ cells: ofCells.ranks, entities: ofEntities.ranks });
  const ends = (found) => [0, 0.5, 0.9, 1].map((share) => h("span", {}, (found.at(share) ?? 0).toFixed(2)));
  $("legend").replaceChildren(
    h("strong", {}, "Similarity"), h("div", { class: "soft" }, "coloured by rank: least, half, best tenth, most"), h("div", { class: "ramp" }),
    h("div", { class: "soft" }, "Cells"), h("div", { class: "ends" }, ...ends(ofCells)), h("div", { class: "soft" }, "Places"), h("div", { class: "ends" }, ...ends(ofEntities)),
  );
  $("legend").hidden = false;
}

// what a user does ---------------------------------------------------------------------------

async function select(feature, { moves = false } = {}) {
  app.selected = feature;
  state.sel = feature.id;
  if (!state.target) remember(feature);
  app.view.set("chosen", [{ type: "Feature", properties: {}, geometry: feature.geometry }]);
  if (moves) app.view.goTo(feature.properties.lon, feature.properties.lat, 16);
  writeHash();
  render();
  say(`${title(feature.properties)}, ${kindWords(feature.properties.kind)}`);
}

const guarded = (work) => async (...args) => {
  try { return await work(...args); } catch (error) { if (error.name !== "AbortError") toast(error.message, { isError: true }); return null; }
};
const pick = guarded(async (row) => select(await api.row(shownIndex(), row)));
const open = guarded(async (id) => select(await api.entity(shownIndex(), id), { moves: true }));

function close() {
  app.selected = null;
  state.sel = "";
  app.view.set("chosen", []);
  writeHash();
  render();
}

function search(id) {
  if (state.target) {
    state.ix = state.target;
    state.target = "";
    $("index").value = state.ix;
  }
  Object.assign(state, { like: [id], unlike: [] });
  app.selected = null;
  state.sel = "";
  app.view.set("chosen", []);
  writeHash();
  return ask();
}

function label(id, name, { fits = false } = {}) {
  const other = name === "like" ? "unlike" : "like";
  state[other] = state[other].filter((each) => each !== id);
  if (!state[name].includes(id)) state[name].push(id);
  writeHash();
  toast(name === "like" ? "More like this" : "Less like this");
  return ask({ fits });
}

function unlabel(id) {
  state.like = state.like.filter((each) => each !== id);
  state.unlike = state.unlike.filter((each) => each !== id);
  if (!state.like.length) state.unlike = [];
  writeHash();
  return ask({ fits: false });
}

function set(changes) {
  Object.assign(state, changes);
  writeHash();
  return ask({ fits: !("box" in changes) });
}

// the panel ----------------------------------------------------------------------------------

function render() {
  const content = $("content");
  const scrolled = content.scrollTop;
  const isHits = !app.selected && (app.hits || app.fault || state.like.length);
  content.replaceChildren(...(app.selected ? card(app.selected) : isHits ? hits() : explore()));
  content.scrollTop = isHits && app.kept ? scrolled : 0;
  app.kept = isHits;
}

function explore() {
  const { landmarks = [], kinds = {}, num_entities: total = 0 } = app.about;
  const place = (each) => h("li", {}, h("button", { type: "button", onclick: () => open(each.id) },
    h("span", { class: "dot", "aria-hidden": "true" }, [...(each.name ?? "?")][0].toUpperCase()),
    h("span", {}, h("span", { class: "name" }, each.name), h("span", { class: "soft small" }, kindWords(each.kind)))));
  const kind = ([name, number]) => button(null, null, () => firstOf(name), { class: "chip" });
  const chips = Object.entries(kinds).filter(([name]) => SIGHTS.test(name) && !FURNITURE.test(name)).slice(0, 18).map((each) => {
    const chip = kind(each);
    chip.append(kindWords(each[0]), h("b", {}, each[1].toLocaleString("en")));
    return chip;
  });
  return [
    h("p", { class: "soft", style: { margin: "0 0 14px" } }, `Choose a place on the map, search one, or start here. ${total.toLocaleString("en")} places in ${state.ix}.`),
    landmarks.length ? h("h2", {}, "Places that many know") : null,
    h("ul", { class: "places" }, landmarks.map(place)),
    h("h2", {}, "Kinds, most frequent first"), h("div", { class: "chips" }, chips),
    h("h2", {}, "A session"), h("div", { class: "chips" }, loader()),
  ].filter(Boolean);
}

const firstOf = guarded(async (kind) => {
  const [key, value] = [kind.slice(0, kind.indexOf("=")), kind.slice(kind.indexOf("=") + 1)];
  const wanted = { tags: { [key]: value }, kind, k: K };
  let answer = await api.query(state.ix, { query: { ...wanted, where: "name=*" } });
  if (!answer.features.length) answer = await api.query(state.ix, { query: wanted });
  app.answer = answer;
  app.hits = answer.features;
  app.byKind = kind;
  answer.features.forEach(remember);
  app.view.setHits(app.hits);
  app.view.fit(app.hits.map((hit) => [hit.properties.lon, hit.properties.lat]));
  render();
});

function card(feature) {
  const { kind, name, tags, lon, lat, osm_url: link } = feature.properties;
  const id = feature.id;
  const shown = { kind, name, tags };
  const wiki = /^Q\d+$/.test(tags.wikidata ?? "") ? `https://www.wikidata.org/wiki/${tags.wikidata}` : null;
  const rows = Object.entries(tags).sort(([a], [b]) => a.localeCompare(b)).flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]);
  const isExample = state.like.includes(id);
  const picture = describedOf(shownIndex())?.has_imagery ? h("img", { class: "chipshot", alt: "The ground from above", src: api.chip(shownIndex(), id), onerror: (e) => e.target.remove() }) : null;
  const other = state.like[0] ?? null;
  return [h("article", { class: "card" },
    button("back", app.hits ? "Hits" : "Explore", close, { class: "back" }),
    h("h3", {}, title(shown)),
    h("div", { class: "soft" }, [kindWords(kind), name ? addressOf(tags) : ""].filter(Boolean).join(" · ")), picture,
    h("div", { class: "actions" },
      button("near", "Find similar places", () => search(id), { class: "act main", id: "similar" }),
      state.like.length && !isExample && !state.target ? button("up", "More like this", () => { close(); label(id, "like"); }, { class: "act" }) : null,
      state.like.length && !isExample && !state.target ? button("down", "Not like this", () => { close(); label(id, "unlike"); }, { class: "act" }) : null,
      button("compare", other && other !== id ? `Compare with ${title(app.places.get(other) ?? {}).slice(0, 18)}` : "Compare with …", () => startCompare(id), { class: "act", id: "to-compare" }),
      button("copy", "Copy id", () => copy(id, id), { class: "act" })),
    h("div", { class: "chips small", style: { "margin-top": "10px" } },
      link ? h("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, "OpenStreetMap") : null,
      wiki ? h("a", { href: wiki, target: "_blank", rel: "noopener noreferrer" }, "Wikidata") : null,
      h("span", { class: "soft" }, `${id} · ${lat.toFixed(5)}, ${lon.toFixed(5)}`)),
    h("h2", {}, "Tags"), h("dl", {}, rows))];
}

function startCompare(id) {
  const other = state.like[0];
  if (other && other !== id && !state.target) { compare(other, id); return; }
  app.comparing = id;
  toast("Now choose the other place, on the map or by name");
}

const compare = guarded(async (a, b) => openCompare(describedOf(state.ix), a, b, isDark()));

function tray() {
  const chip = (id, name) => {
    const place = app.places.get(id) ?? { name: id, tags: {} };
    return h("span", { class: `chip ${name}` }, h("span", { class: "sign", "aria-label": name === "like" ? "like" : "not like" }, name === "like" ? "+" : "−"),
      h("span", { class: "text" }, title(place)), button("close", null, () => unlabel(id), { "aria-label": `Take ${title(place)} out` }));
  };
  const [likes, unlikes] = [state.like.length, state.unlike.length];
  const lacking = [["like", likes], ["dislike", unlikes]].map(([word, n]) => [word, LABELS_TO_LEARN - n]).filter(([, n]) => n > 0)
    .map(([word, n]) => `${n} more ${word}${n > 1 ? "s" : ""}`).join(" and ");
  const how = !lacking ? "Ranked by a classifier fitted to your labels." : unlikes || likes > 1 ? `Ranked by the mean of your examples; with ${lacking} a classifier ranks.` : null;
  return h("section", { class: "tray", "aria-label": "Session" }, h("div", { class: "chips" }, state.like.map((id) => chip(id, "like")), state.unlike.map((id) => chip(id, "unlike"))),
    how ? h("div", { class: "soft small", style: { "margin-top": "6px" } }, how) : null,
    h("div", { class: "row" }, button("save", "Save session", () => download("session.geojson", "application/geo+json", JSON.stringify(feedback(), null, 1)), { class: "link" }),
      loader("link"), button("bin", "Clear", () => { Object.assign(state, { like: [], unlike: [], heat: false }); app.fault = null; app.view.setHeat(null); $("legend").hidden = true; set({}); }, { class: "link" })));
}

function loader(kind = "chip") {
  const input = h("input", { type: "file", accept: ".geojson,.json", class: "hidden", tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", guarded(async () => {
    const content = JSON.parse(await input.files[0].text());
    const labels = (content.features ?? []).filter((each) => typeof each.id === "string");
    const of = (wanted) => labels.filter((each) => wanted.has(String(each.properties?.label))).map((each) => each.id);
    const [like, unlike] = [of(new Set(["1", "true"])), of(new Set(["0", "false"]))];
    if (!like.length) throw new Error("no feature of the file has an id and the label 1; want what Save session writes");
    await set({ like, unlike });
  }));
  return h("span", {}, button("load", "Load session", () => input.click(), { class: kind }), input);
}

function filters() {
  const choose = (text, options, name) => h("label", {}, text, h("select", { onchange: (e) => set({ [name]: e.target.value }) },
    options.map(([value, words]) => h("option", { value, selected: state[name] === value }, words))));
  const own = app.places.get(state.like[0])?.kind;
  const kinds = [["", "Any kind"], ...(own ? [[own, `${kindWords(own)}, as the example`]] : []),
    ...Object.entries(app.about.kinds ?? {}).filter(([kind]) => kind !== own).slice(0, 120).map(([kind, n]) => [kind, `${kindWords(kind)} (${n.toLocaleString("en")})`])];
  if (state.kind && !kinds.some(([kind]) => kind === state.kind)) kinds.push([state.kind, kindWords(state.kind)]);
  const same = app.indexes.filter((each) => each.id !== state.ix && each.fingerprint === describedOf(state.ix).fingerprint);
  const toggle = (text, pressed, onclick, name) => button(name, text, onclick, { class: "chip", "aria-pressed": pressed ? "true" : "false" });
  const isOpen = state.kind || state.named || state.size || state.away || state.box || state.target || state.parts || app.filtersOpen;
  return h("details", { open: Boolean(isOpen), ontoggle: (e) => { app.filtersOpen = e.target.open; } }, h("summary", {}, "Filters"), h("div", { class: "filters" },
    choose("Kind", kinds, "kind"), choose("Size", SIZES, "size"), choose("Distance", AWAY, "away"),
    same.length ? h("label", {}, "Search in", h("select", { onchange: (e) => retarget(e.target.value) },
      [["", `${state.ix} (here)`], ...same.map((each) => [each.id, each.id])].map(([value, words]) => h("option", { value, selected: state.target === value }, words)))) : null,
    h("div", { class: "chips" }, toggle("Has a name", state.named, () => set({ named: !state.named })),
      toggle("Parts of it too", state.parts, () => set({ parts: !state.parts })),
      toggle("In this view", false, () => { const box = app.view.bounds; app.view.showBox(box); set({ box }); }),
      toggle("Draw a box", false, async () => { toast("Drag a box on the map; Esc leaves it"); const box = await app.view.draw(); if (box) set({ box }); }, "box"),
      state.box ? toggle("Take the box away", true, () => { app.view.showBox(null); set({ box: null }); }, "close") : null)));
}

function retarget(name) {
  state.target = name;
  app.view.setHeat(null);
  app.view.show(describedOf(shownIndex()), isDark());
  return set({});
}

function hits() {
  if (app.fault) {
    const { message, candidates = [] } = app.fault;
    return [button("back", "Explore", () => { app.fault = null; Object.assign(state, { like: [], unlike: [] }); set({}); }, { class: "back" }), state.like.length ? tray() : null,
      h("div", { class: "fault", role: "alert" }, message, h("div", { class: "chips" }, candidates.map((id) => button(null, id, () => search(id), { class: "chip" })))), filters()].filter(Boolean);
  }
  if (!app.hits) return [h("div", { class: "empty" }, "Searching …")];
  const ofQuery = state.like.length > 0;
  const how = app.answer.exact ? `exact, of ${app.answer.num_passing.toLocaleString("en")}` : "approximate";
  const list = h("ol", { class: "hits", id: "hits" }, app.hits.map(hit));
  return [
    button("back", "Explore", () => { app.hits = app.answer = null; app.view.setHits([]); Object.assign(state, { like: [], unlike: [], heat: false }); app.view.setHeat(null); $("legend").hidden = true; set({}); }, { class: "back" }),
    ofQuery ? tray() : h("h2", {}, kindWords(app.byKind)), ofQuery ? filters() : null,
    h("div", { class: "toolbar" }, ofQuery ? h("span", {}, h("strong", {}, `${app.hits.length} similar`), h("span", { class: "soft small" }, ` · ${how}`))
      : h("span", { class: "soft small" }, `${app.hits.length} of ${app.answer.num_passing.toLocaleString("en")}, the most typical first`),
      ofQuery && !state.target ? button("heat", "Heat", () => { state.heat = !state.heat; writeHash(); guarded(heat)(); render(); }, { class: "chip", id: "heat", "aria-pressed": state.heat ? "true" : "false" }) : null),
    app.answer.notes.length ? h("ul", { class: "notes" }, app.answer.notes.map((note) => h("li", {}, noteWords(note)))) : null,
    app.hits.length ? list : h("div", { class: "empty" }, app.answer.empty_reason ?? "Nothing"),
    ofQuery ? h("section", {}, h("h2", {}, "Export"), h("div", { class: "exports" }, FORMATS.map(([form, text]) => button(null, text, () => save(form), { class: "act" }))),
      h("div", { class: "copies" }, button("copy", "Command", () => copy(asCommand(describedOf(state.ix).path, query(), describedOf(state.target)?.path), "Command"), { class: "act" }),
        button("copy", "Python", () => copy(asPython(describedOf(state.ix).path, query(), describedOf(state.target)?.path), "Python"), { class: "act" }),
        button("link", "Link", () => copy(location.href, "Link"), { class: "act" }))) : null,
  ].filter(Boolean);
}

const save = guarded(async (form) => {
  const content = await api.file(state.ix, { query: query(), ...(state.target ? { target: [state.target] } : {}) }, form);
  download(`hits.${form}`, content.type, content);
});

function hit(feature, number) {
  const { rank, similarity, kind, name, tags, distance_m: away, why } = feature.properties;
  const id = feature.id;
  const stop = (work) => (event) => { event.stopPropagation(); work(); };
  const thumbs = state.like.length && !state.target ? h("div", { class: "thumbs" },
    button("up", null, stop(() => label(id, "like")), { "aria-label": `More like ${title(feature.properties)}`, title: "More like this (y)", class: "like" }),
    button("down", null, stop(() => label(id, "unlike")), { "aria-label": `Less like ${title(feature.properties)}`, title: "Less like this (n)", class: "unlike" })) : null;
  return h("li", { class: `hit${number === app.current ? " current" : ""}`, "data-id": id, onclick: () => open(id),
    onmouseenter: () => app.view.hoverHit(id), onmouseleave: () => app.view.hoverHit(null) },
    h("span", { class: "rank", "aria-label": `rank ${rank}` }, String(rank)),
    h("div", { class: "body" }, h("button", { type: "button", class: "name", onclick: stop(() => open(id)), onfocus: () => app.view.hoverHit(id) }, title({ name, kind, tags })),
      h("div", { class: "meta" }, [kindWords(kind), away === null ? "" : `${metres(away)} away`].filter(Boolean).join(" · ")),
      h("div", { class: "why" }, reasons(why, kind).map((text) => h("span", {}, text)))),
    h("div", {}, h("div", { class: "score", title: `similarity ${similarity}` }, similarity.toFixed(2)),
      h("div", { class: "meter", "aria-hidden": "true" }, h("i", { style: { width: `${Math.max(3, 100 * Math.max(0, similarity))}%` } })), thumbs));
}

// search box ---------------------------------------------------------------------------------

const box = { found: [], text: "", at: -1, asking: null, wait: 0 };

function showFound(children, isOpen = true) {
  $("found").replaceChildren(...children);
  $("found").hidden = !isOpen;
  $("q").setAttribute("aria-expanded", String(isOpen));
}

async function findPlaces() {
  const text = $("q").value.trim();
  box.asking?.abort();
  if (!text) { showFound([], false); return; }
  box.asking = new AbortController();
  try {
    const { found } = await api.find(state.ix, text, box.asking.signal);
    box.found = found;
    box.text = text;
    box.at = found.length ? 0 : -1;
    const row = (each, i) => h("li", { role: "option", id: `found-${i}`, "aria-selected": i === box.at ? "true" : "false", onmousedown: (e) => { e.preventDefault(); take(i); } },
      h("b", {}, each.name ?? each.id), h("div", { class: "soft small" }, [kindWords(each.kind), each.matched && each.matched !== each.name ? `“${each.matched}”` : "", each.num_entities > 1 ? `${each.num_entities} pieces` : ""].filter(Boolean).join(" · ")));
    showFound(found.length ? found.map(row) : [h("li", { class: "note" }, `Nothing called “${text}” in ${state.ix}`)]);
    say(`${found.length} places found`);
  } catch (error) {
    if (error.name !== "AbortError") showFound([h("li", { class: "note" }, error.message)]);
  }
}

function move(step) {
  if (!box.found.length) return;
  box.at = (box.at + step + box.found.length) % box.found.length;
  for (const [i, each] of [...$("found").children].entries()) each.setAttribute("aria-selected", String(i === box.at));
  $("q").setAttribute("aria-activedescendant", `found-${box.at}`);
}

/** Take the place that is marked; if the list is that of an earlier text, the first of what was typed. */
async function takeTyped() {
  clearTimeout(box.wait);
  if (box.text !== $("q").value.trim()) await findPlaces();
  if (box.text === $("q").value.trim()) take(box.at);
}

function take(i) {
  const chosen = box.found[i];
  showFound([], false);
  if (!chosen) return;
  $("q").value = "";
  $("q").blur();
  if (state.target) { state.target = ""; app.view.show(describedOf(state.ix), isDark(), { fit: false }); }
  open(chosen.id);
}

// start --------------------------------------------------------------------------------------

function hoverList(id) {
  if (id === app.hovered) return;
  app.hovered = id;
  app.view.hoverHit(id);
  for (const each of document.querySelectorAll(".hit")) each.classList.toggle("hover", each.dataset.id === id);
}

function step(by) {
  if (!app.hits?.length) return;
  if (app.selected) close();
  app.current = Math.min(app.hits.length - 1, Math.max(0, app.current + by));
  for (const [i, each] of [...document.querySelectorAll(".hit")].entries()) {
    each.classList.toggle("current", i === app.current);
    if (i === app.current) each.scrollIntoView({ block: "nearest" });
  }
  const feature = app.hits[app.current];
  app.view.hoverHit(feature.id);
  say(`${feature.properties.rank}: ${title(feature.properties)}`);
}

const KEYS = [["/", "search a place"], ["j  k", "next and previous hit"], ["y  n", "more, less like this hit"], ["Enter", "open the hit"], ["h", "heat map"], ["Esc", "back"], ["?", "this list"]];

function keys(event) {
  if (event.target.closest("input, select, textarea, dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const current = app.hits?.[app.current];
  const work = {
    "/": () => $("q").focus(), j: () => step(1), k: () => step(-1), y: () => current && !state.target && state.like.length && label(current.id, "like"),
    n: () => current && !state.target && state.like.length && label(current.id, "unlike"), h: () => $("heat")?.click(),
    Escape: () => { if (app.selected) close(); }, "?": () => $("help").click(), Enter: () => current && event.target === document.body && open(current.id),
  }[event.key];
  if (work) {
    if (event.key === "/") event.preventDefault();
    work();
  }
}

function setTheme(name, { isChosen = false } = {}) {
  document.documentElement.dataset.theme = name;
  $("theme").replaceChildren(icon(name === "dark" ? "sun" : "moon"));
  if (isChosen) try { localStorage.setItem("geoindex-theme", name); } catch { /* private windows keep nothing */ }
  if (app.view) {
    app.view.show(app.view.described, name === "dark", { fit: false });
    app.view.map.once("idle", () => guarded(heat)());
  }
}

function storedTheme() {
  try { return localStorage.getItem("geoindex-theme"); } catch { return null; }
}

async function openIndex(name) {
  app.about = await api.index(name);
  document.title = `${name} – geoindex`;
  $("foot").replaceChildren(h("span", {}, app.about.attribution), h("a", { href: "/api/v1/openapi.json" }, "HTTP API"));
}

async function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(storedTheme() ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => { if (!storedTheme()) setTheme(dark.matches ? "dark" : "light"); });
  const { indexes, settings } = await api.indexes();
  Object.assign(app, { indexes, settings });
  const camera = readHash();
  $("index").replaceChildren(...indexes.map((each) => h("option", { value: each.id, selected: each.id === state.ix }, each.id)));
  app.view = new MapView("map", describedOf(shownIndex()), settings, {
    isDark: isDark(), camera,
    on: {
      pick: guarded(async (row) => {
        if (!app.comparing) { await pick(row); return; }
        const other = await api.row(shownIndex(), row);
        const first = app.comparing;
        app.comparing = null;
        compare(first, other.id);
      }), hit: open, hover: hoverList, moved: writeHash,
    },
  });
  window.geoindex = { map: app.view.map, state };
  await openIndex(state.ix);
  render();
  if (state.box) app.view.showBox(state.box);
  if (state.like.length) await ask({ fits: !camera });
  if (state.sel) await guarded(async () => select(await api.entity(shownIndex(), state.sel), { moves: !camera }))();
}

$("q").addEventListener("input", () => { clearTimeout(box.wait); box.wait = setTimeout(findPlaces, 120); });
$("q").addEventListener("focus", () => { if ($("q").value) findPlaces(); });
$("q").addEventListener("blur", () => showFound([], false));
$("q").addEventListener("keydown", (event) => {
  const work = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: takeTyped, Escape: () => { showFound([], false); $("q").blur(); } }[event.key];
  if (work) { event.preventDefault(); work(); }
});
$("index").addEventListener("change", guarded(async (event) => {
  Object.assign(state, { ix: event.target.value, sel: "", like: [], unlike: [], kind: "", target: "", box: null, heat: false });
  Object.assign(app, { hits: null, answer: null, selected: null, fault: null });
  app.places.clear();
  app.view.setHeat(null);
  $("legend").hidden = true;
  for (const name of ["hits", "shapes", "examples", "chosen", "draw"]) app.view.set(name, []);
  app.view.show(describedOf(state.ix), isDark());
  await openIndex(state.ix);
  writeHash();
  render();
}));
$("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark", { isChosen: true }));
$("help").addEventListener("click", () => {
  $("keys").replaceChildren(h("h2", {}, "Keys"), h("dl", {}, KEYS.flatMap(([key, text]) => [h("dt", {}, key.split("  ").flatMap((each) => [h("kbd", {}, each), " "])), h("dd", {}, text)])),
    button(null, "Close", () => $("keys").close(), { class: "act", style: { "margin-top": "12px" } }));
  $("keys").showModal();
});
$("sheet").addEventListener("click", () => {
  const classes = $("app").classList;
  const next = classes.contains("high") ? "low" : classes.contains("low") ? "" : "high";
  classes.remove("high", "low");
  if (next) classes.add(next);
  setTimeout(() => app.view?.map.resize(), 250);
});
document.addEventListener("keydown", keys);
addEventListener("hashchange", () => location.reload());
start().catch((error) => { $("content").replaceChildren(h("div", { class: "fault", role: "alert" }, error.message)); });
