// Two places beside each other: maps at one scale, what adds to the similarity, tags.

import * as api from "/page/api.js";
import { $, button, h } from "/page/dom.js";
import { smallMap, zoomOf } from "/page/mapview.js";
import { kindWords, PART_WORDS, sizeWords, squareMetres, title } from "/page/words.js";

const COLOURS = { Tags: "#0f8b82", Shape: "#d1781f", Surroundings: "#5b6fc0", Across: "#a4588f", Contents: "#0f8b82", Counts: "#d1781f" };
const MAP_PX = 420;

export async function openCompare(described, a, b, isDark) {
  const [why, first, second] = await Promise.all([api.similar(described.id, a, b), api.entity(described.id, a), api.entity(described.id, b)]);
  const dialog = $("compare");
  const maps = [];
  const places = [first, second].map((feature, i) => {
    const { kind, name, tags } = feature.properties;
    const size = why.size?.[i ? "second" : "first"];
    const mini = h("div", { class: "mini" });
    return { feature, mini, view: h("div", {}, h("h3", {}, title({ kind, name, tags })), h("div", { class: "soft small" }, [kindWords(kind), squareMetres(size?.area_m2)].filter(Boolean).join(" · ")), mini) };
  });
  dialog.replaceChildren(
    h("div", { class: "head" }, h("h2", {}, `Similarity ${why.similarity.toFixed(3)}${sizeWords(why.size) ? ` · the second is ${sizeWords(why.size).replace("same size", "of the same size")}` : ""}`),
      button("close", null, () => dialog.close(), { class: "plain", "aria-label": "Close" })),
    h("div", { class: "pair" }, places.map((each) => each.view)), parts(why), tagColumns(first.properties.tags, second.properties.tags));
  dialog.addEventListener("close", () => { for (const map of maps) map.remove(); dialog.replaceChildren(); }, { once: true });
  dialog.showModal();
  const zoom = Math.min(...places.map(({ feature }) => zoomOf(feature, MAP_PX)));
  for (const { feature, mini } of places) maps.push(smallMap(mini, described, feature, zoom, isDark));
}

function parts(why) {
  const sums = new Map();
  for (const [name, part] of Object.entries(why.parts)) {
    const word = PART_WORDS[name] ?? name.replaceAll("_", " ");
    sums.set(word, (sums.get(word) ?? 0) + part);
  }
  const total = [...sums.values()].reduce((sum, part) => sum + Math.max(0, part), 0) || 1;
  const bar = [...sums].map(([word, part]) => h("i", { style: { width: `${(100 * Math.max(0, part)) / total}%`, background: COLOURS[word] ?? "#888" }, title: `${word} ${part.toFixed(3)}` }));
  const key = [...sums].map(([word, part]) => h("span", {}, h("i", { style: { background: COLOURS[word] ?? "#888" } }), `${word} ${part.toFixed(3)}`));
  return h("div", { class: "parts" }, h("div", { class: "soft small" }, "What adds up to the similarity"), h("div", { class: "stack", "aria-hidden": "true" }, bar), h("div", { class: "key" }, key));
}

function tagColumns(first, second) {
  const keys = [...new Set([...Object.keys(first), ...Object.keys(second)])].sort();
  const same = keys.filter((key) => first[key] === second[key]);
  const differ = keys.filter((key) => key in first && key in second && first[key] !== second[key]);
  const single = keys.filter((key) => (key in first) !== (key in second));
  const column = (name, list) => h("section", {}, h("h2", {}, `${name} (${list.length})`), h("ul", {}, list.length ? list : [h("li", { class: "soft" }, "none")]));
  return h("div", { class: "three" },
    column("Same", same.map((key) => h("li", {}, `${key} = ${first[key]}`))),
    column("Different", differ.map((key) => h("li", {}, h("b", {}, key), h("div", {}, first[key]), h("div", { class: "soft" }, second[key])))),
    column("Only one has", single.map((key) => h("li", {}, h("span", { class: "soft" }, key in first ? "first: " : "second: "), `${key} = ${first[key] ?? second[key]}`))));
}
