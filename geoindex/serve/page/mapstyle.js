// The map drawn from the index itself: a style over its vector tiles, light and dark.

const LIGHT = {
  land: "#f4f1ea", built: "#ebe6dc", civic: "#efe6d6", green: "#d3e4c3", wood: "#bcd6ae", farm: "#ece8cd", pitch: "#c4e0c4",
  sand: "#f3e7c4", rock: "#e2ddd3", paved: "#e7e3dc", water: "#a9cfe4", waterLine: "#8fbfd9", building: "#ddd3c5",
  buildingLine: "#c6b9a6", road: "#ffffff", roadCase: "#d5ccbd", major: "#fbd79a", majorCase: "#dcae62", path: "#b89f80",
  rail: "#a6a09a", boundary: "#a68ab0", barrier: "#c7bda9", other: "#e3ddd0", text: "#3a352d", textSoft: "#6d6557",
  halo: "#faf8f3", waterText: "#3f7492", greenText: "#4d7040", accent: "#0f6b66", hit: "#d1480f", hitText: "#ffffff", no: "#8b2f6b",
};
const DARK = {
  land: "#1b1f23", built: "#20252a", civic: "#28271f", green: "#22332a", wood: "#1f3327", farm: "#262a22", pitch: "#25402f",
  sand: "#37332a", rock: "#272a2c", paved: "#262b30", water: "#173447", waterLine: "#24506b", building: "#30363c",
  buildingLine: "#454d55", road: "#474e56", roadCase: "#14171a", major: "#7d6a42", majorCase: "#14171a", path: "#6d6250",
  rail: "#666c72", boundary: "#7d6a88", barrier: "#3a4046", other: "#272c31", text: "#e6e3dc", textSoft: "#aaa79f",
  halo: "#15181b", waterText: "#7fb8d8", greenText: "#93bf86", accent: "#4fc3b8", hit: "#ff8a4c", hitText: "#1a1206", no: "#e08cc0",
};
const POI = {
  food: ["#b4541a", "#f0a070"], shop: ["#7a4aa0", "#c9a2e8"], stay: ["#2a5fa8", "#8db8f0"], culture: ["#8a3a3a", "#e59a9a"],
  learn: ["#6a6a1f", "#cfcf7a"], health: ["#b02a4a", "#f08aa4"], move: ["#33667a", "#8cc3d6"], play: ["#3f7a3f", "#93cf93"],
  nature: ["#5e8a4a", "#7fae6a"], service: ["#5c5a66", "#b3b0bf"],
};
export const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
export const palette = (isDark) => (isDark ? DARK : LIGHT);

const ramp = (...stops) => ["interpolate", ["exponential", 1.6], ["zoom"], ...stops];
const is = (...names) => ["match", ["get", "class"], names, true, false];
const MAJOR = ["motorway", "trunk", "primary"];
const MIDDLE = ["secondary", "tertiary"];
const LABEL = ["coalesce", ["get", "name"], ""];

/** Return the colour of a place by its score, ranked 0 to 1, in its state. */
export const heatColour = ["interpolate", ["linear"], ["feature-state", "heat"],
  ...VIRIDIS.flatMap((colour, i) => [i / (VIRIDIS.length - 1), colour])];
const hasHeat = ["!=", ["feature-state", "heat"], null];

/** Return the style of an index: its tiles, and what is found and chosen above them. */
export function style(tiles, cells, about, isDark, basemap) {
  const c = palette(isDark);
  const poi = ["match", ["get", "class"], ...Object.entries(POI).flatMap(([name, pair]) => [name, pair[isDark ? 1 : 0]]), c.textSoft];
  const area = (id, classes, colour, more = {}) => ({
    id, type: "fill", source: "index", "source-layer": "areas", filter: is(...classes),
    paint: { "fill-color": colour, "fill-antialias": true, ...more },
  });
  const line = (id, filter, colour, width, more = {}, layout = {}) => ({
    id, type: "line", source: "index", "source-layer": "lines", filter,
    layout: { "line-cap": "round", "line-join": "round", ...layout }, paint: { "line-color": colour, "line-width": width, ...more },
  });
  const text = (id, layer, filter, layout, colour, more = {}) => ({
    id, type: "symbol", source: "index", "source-layer": layer, filter: ["all", ["has", "name"], filter],
    layout: { "text-field": LABEL, "text-font": ["system-ui", "sans-serif"], "text-size": 11, "text-max-width": 8, "text-padding": 4, ...layout },
    paint: { "text-color": colour, "text-halo-color": c.halo, "text-halo-width": 1.4, ...more },
  });
  const empty = { type: "FeatureCollection", features: [] };
  const layers = [
    { id: "land", type: "background", paint: { "background-color": c.land } },
    ...(basemap ? [{ id: "basemap", type: "raster", source: "basemap", paint: { "raster-opacity": 0.85 } }] : []),
    area("built", ["built"], c.built), area("civic", ["civic"], c.civic), area("farm", ["farm"], c.farm),
    area("rock", ["rock"], c.rock), area("sand", ["sand"], c.sand), area("green", ["green"], c.green),
    area("wood", ["wood"], c.wood), area("pitch", ["pitch"], c.pitch), area("water", ["water"], c.water),
    area("paved", ["paved"], c.paved), area("area-other", ["other", "culture", "food", "shop", "play", "service"], c.other, { "fill-opacity": 0.55 }),
    line("stream", is("water"), c.waterLine, ramp(8, 0.6, 14, 1.6, 18, 6)),
    line("boundary", is("boundary"), c.boundary, ramp(6, 0.6, 14, 1.4), { "line-dasharray": [4, 3], "line-opacity": 0.7 }),
    line("coast", is("coast"), c.waterLine, ramp(6, 0.8, 15, 2)),
    line("ferry", is("ferry"), c.waterLine, 1, { "line-dasharray": [3, 4] }),
    line("path", is("path"), c.path, ramp(14, 0.6, 16, 1.1, 19, 3), { "line-dasharray": [2.2, 1.6], "line-opacity": 0.8 }),
    line("service-case", is("service"), c.roadCase, ramp(14, 1, 16, 3.4, 19, 13)),
    line("street-case", is("street"), c.roadCase, ramp(12, 0.8, 14, 2.6, 16, 7, 19, 26)),
    line("middle-case", is(...MIDDLE), c.roadCase, ramp(10, 1, 14, 5, 16, 9.5, 19, 32)),
    line("major-case", is(...MAJOR), c.majorCase, ramp(6, 1, 12, 3.4, 14, 6.5, 16, 12, 19, 38)),
    line("service", is("service"), c.road, ramp(14, 0.5, 16, 2.2, 19, 11)),
    line("street", is("street"), c.road, ramp(12, 0.4, 14, 1.6, 16, 5.5, 19, 23)),
    line("middle", is(...MIDDLE), c.road, ramp(10, 0.6, 14, 3.7, 16, 7.8, 19, 29)),
    line("major", is(...MAJOR), c.major, ramp(6, 0.6, 12, 2.2, 14, 5, 16, 10, 19, 34)),
    line("runway", is("runway"), c.roadCase, ramp(11, 1, 16, 12)),
    line("rail", is("rail"), c.rail, ramp(10, 0.6, 14, 1.2, 18, 3)),
    line("rail-dash", is("rail"), c.land, ramp(13, 0.4, 18, 1.6), { "line-dasharray": [4, 4] }, { "line-cap": "butt" }),
    area("building", ["building"], c.building, { "fill-opacity": ["interpolate", ["linear"], ["zoom"], 13, 0.6, 15, 1] }),
    { id: "building-line", type: "line", source: "index", "source-layer": "areas", minzoom: 14.5, filter: is("building"),
      paint: { "line-color": c.buildingLine, "line-width": 0.6 } },
    line("barrier", is("barrier", "other"), c.barrier, ramp(15, 0.5, 18, 1.5)),
    line("wire", is("wire"), c.barrier, 0.7, { "line-dasharray": [6, 3] }),
    { id: "heat-cells", type: "fill", source: "cells", "source-layer": "cells", layout: { visibility: "none" },
      paint: { "fill-color": ["case", hasHeat, heatColour, "rgba(0,0,0,0)"], "fill-outline-color": isDark ? "#00000066" : "#ffffff66",
        "fill-opacity": ["interpolate", ["linear"], ["zoom"], 14, 0.62, 16.5, 0.3] } },
    { id: "heat-areas", type: "fill", source: "index", "source-layer": "areas", minzoom: 13.5, layout: { visibility: "none" },
      filter: ["!", is("boundary", "built", "water", "wood", "green", "farm", "sand", "rock", "paved", "other")], paint: { "fill-color": ["case", hasHeat, heatColour, "rgba(0,0,0,0)"], "fill-opacity": 0.9 } },
    { id: "heat-points", type: "circle", source: "index", "source-layer": "points", minzoom: 13.5, layout: { visibility: "none" },
      paint: { "circle-color": ["case", hasHeat, heatColour, "rgba(0,0,0,0)"], "circle-radius": ramp(14, 2.5, 18, 7),
        "circle-stroke-width": ["case", hasHeat, 1, 0], "circle-stroke-color": c.halo } },
    { id: "hover-area", type: "fill", source: "index", "source-layer": "areas", paint: { "fill-color": c.accent,
      "fill-opacity": ["case", ["boolean", ["feature-state", "hover"], false], 0.22, 0] } },
    { id: "hover-line", type: "line", source: "index", "source-layer": "lines", layout: { "line-cap": "round" }, paint: { "line-color": c.accent,
      "line-opacity": ["case", ["boolean", ["feature-state", "hover"], false], 0.8, 0], "line-width": ramp(12, 2, 18, 6) } },
    { id: "point", type: "circle", source: "index", "source-layer": "points", filter: ["!", is("place")],
      paint: { "circle-color": poi, "circle-radius": ["interpolate", ["linear"], ["zoom"], 14, ["case", ["has", "name"], 2.2, 1.1], 18, ["case", ["has", "name"], 5, 3]],
        "circle-stroke-color": c.halo, "circle-stroke-width": ["case", ["boolean", ["feature-state", "hover"], false], 3, 0.8], "circle-opacity": 0.9 } },
    text("street-name", "lines", is("street", "service", "path", ...MAJOR, ...MIDDLE),
      { "symbol-placement": "line", "text-size": ramp(13, 9.5, 17, 12.5), "symbol-spacing": 320, "text-letter-spacing": 0.01 }, c.textSoft, {}),
    text("stream-name", "lines", is("water"), { "symbol-placement": "line", "text-size": 11, "text-letter-spacing": 0.08 }, c.waterText),
    text("point-name", "points", ["!", is("place")],
      { "text-variable-anchor": ["left", "right", "top", "bottom"], "text-radial-offset": 0.7, "text-justify": "auto", "text-size": 11 }, poi),
    text("area-name", "labels", ["!", is("boundary", "water", "green", "wood", "building")], { "text-size": 11 }, c.textSoft),
    text("building-name", "labels", is("building"), { "text-size": 11 }, c.text),
    text("green-name", "labels", is("green", "wood", "pitch"), { "text-size": 11.5 }, c.greenText),
    text("water-name", "labels", is("water"), { "text-size": 12, "text-letter-spacing": 0.06 }, c.waterText),
    text("boundary-name", "labels", is("boundary"), { "text-size": ramp(8, 11, 14, 14), "text-transform": "uppercase", "text-letter-spacing": 0.12 }, c.textSoft),
    text("place-name", "points", is("place"), { "text-size": ramp(8, 11, 14, 15) }, c.text),
    { id: "draw", type: "fill", source: "draw", paint: { "fill-color": c.accent, "fill-opacity": 0.08, "fill-outline-color": c.accent } },
    { id: "draw-line", type: "line", source: "draw", paint: { "line-color": c.accent, "line-width": 2, "line-dasharray": [3, 2] } },
    { id: "chosen-area", type: "fill", source: "chosen", filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": c.accent, "fill-opacity": 0.2 } },
    { id: "chosen-line", type: "line", source: "chosen", filter: ["!=", ["geometry-type"], "Point"], paint: { "line-color": c.accent, "line-width": 3 } },
    { id: "chosen-point", type: "circle", source: "chosen", filter: ["==", ["geometry-type"], "Point"],
      paint: { "circle-radius": 9, "circle-color": c.accent, "circle-opacity": 0.35, "circle-stroke-width": 3, "circle-stroke-color": c.accent } },
    { id: "hit-area", type: "fill", source: "shapes", filter: ["==", ["geometry-type"], "Polygon"],
      paint: { "fill-color": c.hit, "fill-opacity": ["case", ["boolean", ["feature-state", "hover"], false], 0.45, 0.16] } },
    { id: "hit-line", type: "line", source: "shapes", filter: ["!=", ["geometry-type"], "Point"], paint: { "line-color": c.hit, "line-width": 2 } },
    { id: "example", type: "circle", source: "examples", paint: { "circle-radius": 7, "circle-color": ["case", ["get", "like"], c.accent, c.no],
      "circle-stroke-color": c.halo, "circle-stroke-width": 2.5 } },
    { id: "hit", type: "circle", source: "hits", paint: { "circle-color": c.hit, "circle-stroke-color": c.halo,
      "circle-radius": ["case", ["boolean", ["feature-state", "hover"], false], 14, 10], "circle-stroke-width": ["case", ["boolean", ["feature-state", "hover"], false], 3, 1.5] } },
    { id: "hit-rank", type: "symbol", source: "hits", layout: { "text-field": ["to-string", ["get", "rank"]], "text-font": ["system-ui", "sans-serif"],
      "text-size": 11, "text-allow-overlap": true, "text-ignore-placement": true, "symbol-sort-key": ["-", 0, ["get", "rank"]] }, paint: { "text-color": c.hitText } },
  ];
  return {
    version: 8,
    sources: {
      index: { type: "vector", tiles: [tiles], minzoom: 0, maxzoom: 16, attribution: about },
      cells: { type: "vector", tiles: [cells], minzoom: 0, maxzoom: 16 },
      ...(basemap ? { basemap: { type: "raster", tiles: [basemap], tileSize: 256 } } : {}),
      hits: { type: "geojson", data: empty }, shapes: { type: "geojson", data: empty }, examples: { type: "geojson", data: empty },
      chosen: { type: "geojson", data: empty }, draw: { type: "geojson", data: empty },
    },
    layers,
  };
}
