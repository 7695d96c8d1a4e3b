// The map: MapLibre over the tiles of an index, with what is found, chosen and hovered.

import * as maplibre from "/page/vendor/maplibre-gl.mjs";
import * as api from "/page/api.js";
import { $ } from "/page/dom.js";
import { style } from "/page/mapstyle.js";
import { kindWords } from "/page/words.js";

maplibre.setWorkerUrl?.("/page/vendor/maplibre-gl-worker.mjs");

const ENTITY_LAYERS = ["point", "point-name", "place-name", "building-name", "area-name", "green-name", "water-name", "street", "middle", "major",
  "service", "path", "rail", "stream", "building", "paved", "civic", "pitch", "green", "wood", "water", "sand", "farm", "rock", "area-other", "built"];
const HEAT = ["heat-cells", "heat-areas", "heat-points"];
const REACH_PX = 5;
const MOST_STATES = 400_000;
const empty = { type: "FeatureCollection", features: [] };

export class MapView {
  /** Make the map; `on` has the callbacks pick(row), hit(id), hover(id), moved(). */
  constructor(container, described, settings, { isDark, camera, on }) {
    this.on = on;
    this.isDark = isDark;
    this.basemap = settings.basemap;
    this.described = described;
    this.data = { hits: empty, shapes: empty, examples: empty, chosen: empty, draw: empty };
    this.heat = null;
    const [w, s, e, n] = described.view;
    this.map = new maplibre.Map({
      container, style: this.style(), maxZoom: 21, attributionControl: false, dragRotate: false, pitchWithRotate: false,
      ...(camera ? { center: camera.center, zoom: camera.zoom } : { bounds: [[w, s], [e, n]], fitBoundsOptions: { padding: 30 } }),
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new maplibre.AttributionControl({ compact: false }), "bottom-right");
    this.map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-right");
    this.map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }), "bottom-left");
    this.map.getCanvas().setAttribute("aria-label", `Map of ${described.id}; arrow keys move it, + and - zoom`);
    this.map.on("styledata", () => this.restore());
    this.map.on("moveend", () => on.moved());
    this.map.on("click", (event) => this.click(event));
    this.map.on("mousemove", (event) => this.move(event));
    this.map.on("mouseout", () => this.unhover());
    this.map.on("error", (event) => { if (event.error?.name !== "AbortError") console.warn(String(event.error?.message ?? event.error)); });
  }

  style() {
    const { id, version, attribution } = this.described;
    const cells = api.tiles(id, version, "cells");
    const link = attribution.includes("OpenStreetMap") ? '<a href="https://www.openstreetmap.org/copyright" target="_blank" rel="noopener">© OpenStreetMap contributors</a>' : null;
    // an attribution of others is text, whatever it holds
    const about = link ?? attribution.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
    return style(api.tiles(id, version, "areas,lines,points,labels"), cells, about, this.isDark, this.basemap);
  }

  /** Show another index, or the same in other colours. */
  show(described, isDark, { fit = true } = {}) {
    this.described = described;
    this.isDark = isDark;
    this.map.setStyle(this.style(), { diff: false });
    if (fit) {
      const [w, s, e, n] = described.view;
      this.map.fitBounds([[w, s], [e, n]], { padding: 30, duration: 0 });
    }
  }

  restore() {
    for (const [name, data] of Object.entries(this.data)) {
      const source = this.map.getSource(name);
      if (source && source.shown !== data) {
        source.shown = data;
        source.setData(data);
      }
    }
    const source = this.map.getSource("index");
    if (this.heat && source && source.heat !== this.heat) {
      source.heat = this.heat;
      this.paintHeat();
    }
  }

  set(name, features) {
    this.data[name] = { type: "FeatureCollection", features };
    this.restore();
  }

  /** Show hits: a numbered marker each, and the outlines of areas and lines. */
  setHits(features) {
    const at = (feature, i) => ({
      type: "Feature", id: i, properties: { rank: feature.properties.rank, id: feature.id },
      geometry: { type: "Point", coordinates: [feature.properties.lon, feature.properties.lat] },
    });
    this.set("hits", features.map(at));
    this.set("shapes", features.map((feature, i) => ({ type: "Feature", id: i, properties: {}, geometry: feature.geometry })).filter((f) => f.geometry?.type !== "Point"));
    this.ids = features.map((feature) => feature.id);
  }

  hoverHit(id) {
    for (const [i, each] of (this.ids ?? []).entries())
      for (const source of ["hits", "shapes"])
        if (this.map.getSource(source)) this.map.setFeatureState({ source, id: i }, { hover: each === id });
  }

  fit(points, { maxZoom = 16.5 } = {}) {
    if (!points.length) return;
    const box = new maplibre.LngLatBounds(points[0], points[0]);
    for (const point of points) box.extend(point);
    this.map.fitBounds(box, { padding: innerWidth < 760 ? 36 : 70, maxZoom, duration: reduced() ? 0 : 500 });
  }

  goTo(lon, lat, zoom) {
    const view = { center: [lon, lat], zoom: Math.max(this.map.getZoom(), zoom) };
    if (reduced()) this.map.jumpTo(view);
    else this.map.easeTo({ ...view, duration: 500 });
  }

  get bounds() {
    const box = this.map.getBounds();
    return [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()].map((side) => Number(side.toFixed(5)));
  }

  features(point) {
    const box = [[point.x - REACH_PX, point.y - REACH_PX], [point.x + REACH_PX, point.y + REACH_PX]];
    const layers = ENTITY_LAYERS.filter((name) => this.map.getLayer(name));
    return this.map.queryRenderedFeatures(box, { layers });
  }

  /** Choose what was meant: a named point, else the smallest area with a name, else what is on top. */
  best(point) {
    const found = this.features(point);
    const points = found.filter((f) => f.geometry.type === "Point");
    const named = (list) => list.find((f) => f.properties.name);
    const exact = this.map.queryRenderedFeatures(point, { layers: ENTITY_LAYERS.filter((name) => this.map.getLayer(name)) });
    const areas = exact.filter((f) => f.sourceLayer === "areas");
    return named(points) ?? named(areas.slice(0, 1)) ?? (areas[0]?.properties.class === "building" ? areas[0] : null) ?? points[0]
      ?? found.find((f) => f.sourceLayer === "lines") ?? named(areas) ?? areas[0] ?? found[0];
  }

  click(event) {
    if (this.drawing) return;
    const hit = this.map.queryRenderedFeatures(event.point, { layers: ["hit"].filter((name) => this.map.getLayer(name)) })[0];
    if (hit) { this.on.hit(hit.properties.id); return; }
    const found = this.best(event.point);
    if (found) this.on.pick(found.id);
  }

  move(event) {
    if (this.drawing) return;
    const hit = this.map.queryRenderedFeatures(event.point, { layers: ["hit"].filter((name) => this.map.getLayer(name)) })[0];
    this.on.hover(hit?.properties.id ?? null);
    const found = hit ? null : this.best(event.point);
    this.map.getCanvas().style.cursor = hit || found ? "pointer" : "";
    if (found?.id !== this.hovered?.id) {
      this.unhover();
      if (found) {
        this.hovered = { source: "index", sourceLayer: found.sourceLayer, id: found.id };
        if (found.sourceLayer !== "labels") this.map.setFeatureState(this.hovered, { hover: true });
      }
    }
    const tip = $("tip");
    tip.hidden = !found;
    if (found) {
      tip.textContent = found.properties.name ? `${found.properties.name} · ${kindWords(found.properties.kind)}` : kindWords(found.properties.kind);
      tip.style.setProperty("left", `${Math.min(event.point.x + 14, this.map.getContainer().clientWidth - 200)}px`);
      tip.style.setProperty("top", `${event.point.y + 16}px`);
    }
  }

  unhover() {
    if (this.hovered && this.hovered.sourceLayer !== "labels" && this.map.getSource("index")) this.map.setFeatureState(this.hovered, { hover: false });
    this.hovered = null;
    $("tip").hidden = true;
  }

  /** Let the user draw a box; resolves to west, south, east, north, or null. */
  draw() {
    this.drawing = true;
    const canvas = this.map.getCanvas();
    canvas.style.cursor = "crosshair";
    this.map.dragPan.disable();
    return new Promise((resolve) => {
      let start = null;
      const at = (event) => this.map.unproject([event.offsetX, event.offsetY]);
      const down = (event) => { start = at(event); canvas.setPointerCapture(event.pointerId); };
      const drag = (event) => { if (start) this.set("draw", [boxFeature(boxOf(start, at(event)))]); };
      const end = (box) => {
        for (const [name, each] of Object.entries(listeners)) canvas.removeEventListener(name, each);
        removeEventListener("keydown", escape);
        this.map.dragPan.enable();
        canvas.style.cursor = "";
        setTimeout(() => { this.drawing = false; }, 50);
        resolve(box);
      };
      const up = (event) => {
        const box = start ? boxOf(start, at(event)) : null;
        end(box && box[2] - box[0] > 1e-6 && box[3] - box[1] > 1e-6 ? box : null);
      };
      const escape = (event) => { if (event.key === "Escape") { this.set("draw", []); end(null); } };
      const listeners = { pointerdown: down, pointermove: drag, pointerup: up };
      for (const [name, each] of Object.entries(listeners)) canvas.addEventListener(name, each);
      addEventListener("keydown", escape);
    });
  }

  showBox(box) {
    this.set("draw", box ? [boxFeature(box)] : []);
  }

  /** Colour cells and entities by scores, each ranked among its own; null takes the colours away. */
  setHeat(heat) {
    this.heat = heat;
    if (!this.map.getSource("index")) return;
    for (const name of HEAT) if (this.map.getLayer(name)) this.map.setLayoutProperty(name, "visibility", heat ? "visible" : "none");
    if (heat) this.paintHeat();
    else for (const [source, sourceLayer] of [["cells", "cells"], ["index", "areas"], ["index", "points"]]) this.map.removeFeatureState({ source, sourceLayer });
  }

  paintHeat() {
    const { cells, entities } = this.heat;
    for (const name of HEAT) if (this.map.getLayer(name)) this.map.setLayoutProperty(name, "visibility", "visible");
    const paint = (ranks, source, sourceLayer) => {
      this.map.removeFeatureState({ source, sourceLayer });
      for (let id = 0; id < ranks.length; id += 1) if (!Number.isNaN(ranks[id])) this.map.setFeatureState({ source, sourceLayer, id }, { heat: ranks[id] });
    };
    paint(cells, "cells", "cells");
    // a state for each of a million entities would hold the page up; its cells do not
    if (entities.length > MOST_STATES) return;
    paint(entities, "index", "areas");
    paint(entities, "index", "points");
  }
}

const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function boxOf(a, b) {
  return [Math.min(a.lng, b.lng), Math.min(a.lat, b.lat), Math.max(a.lng, b.lng), Math.max(a.lat, b.lat)].map((side) => Number(side.toFixed(6)));
}

function boxFeature([w, s, e, n]) {
  return { type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [[[w, s], [e, s], [e, n], [w, n], [w, s]]] } };
}

/** A small map of one place, for the comparison; returns the map. */
export function smallMap(container, described, feature, zoom, isDark) {
  const [lon, lat] = [feature.properties.lon, feature.properties.lat];
  const about = style(api.tiles(described.id, described.version, "areas,lines,points,labels"), api.tiles(described.id, described.version, "cells"), "", isDark);
  about.sources.chosen.data = feature;
  const map = new maplibre.Map({ container, style: about, center: [lon, lat], zoom, attributionControl: false, dragRotate: false });
  map.addControl(new maplibre.ScaleControl({ maxWidth: 100 }), "bottom-left");
  return map;
}

/** Return the zoom at which a geometry fills about half of a small map. */
export function zoomOf(feature, widthPx) {
  let [w, s, e, n] = [180, 90, -180, -90];
  const visit = (list) => {
    if (typeof list[0] === "number") { [w, s, e, n] = [Math.min(w, list[0]), Math.min(s, list[1]), Math.max(e, list[0]), Math.max(n, list[1])]; } else list.forEach(visit);
  };
  if (feature.geometry?.coordinates) visit(feature.geometry.coordinates);
  const wide = Math.max(e - w, (n - s) / Math.cos((s * Math.PI) / 180), 0.0006);
  return Math.min(18, Math.log2(((widthPx * 0.5) / 512) * (360 / wide)));
}

/** Rank numbers from 0, the least, to 1; NaN stays. */
export function ranked(scores) {
  const known = Float32Array.from(scores.filter((score) => !Number.isNaN(score))).sort();
  const found = new Float32Array(scores.length).fill(NaN);
  for (let i = 0; i < scores.length; i += 1) {
    if (Number.isNaN(scores[i])) continue;
    let [low, high] = [0, known.length];
    while (low < high) { const middle = (low + high) >> 1; if (known[middle] < scores[i]) low = middle + 1; else high = middle; }
    found[i] = known.length > 1 ? low / (known.length - 1) : 1;
  }
  return { ranks: found, at: (share) => known[Math.round(share * (known.length - 1))] };
}
