// Kinds, distances and reasons in words.

const NAMED = {
  "building=yes": "Building", "shop=yes": "Shop", "highway=footway": "Footpath", "highway=path": "Path",
  "highway=residential": "Street", "highway=unclassified": "Minor road", "highway=service": "Service road",
  "highway=living_street": "Living street", "highway=primary": "Primary road", "highway=secondary": "Secondary road",
  "highway=tertiary": "Tertiary road", "highway=trunk": "Trunk road", "highway=pedestrian": "Pedestrian street",
  "highway=cycleway": "Cycle path", "highway=track": "Track", "highway=steps": "Steps", "amenity=cafe": "Café",
  "amenity=pub": "Pub", "amenity=fuel": "Petrol station", "amenity=parking": "Car park", "amenity=atm": "ATM",
  "natural=water": "Water", "natural=tree": "Tree", "leisure=pitch": "Sports pitch", "railway=rail": "Railway",
  "railway=station": "Railway station", "boundary=administrative": "Administrative area", "shop=convenience": "Convenience store",
  "shop=supermarket": "Supermarket", "shop=mall": "Shopping centre", "shop=bakery": "Bakery", "shop=hairdresser": "Hairdresser",
  "building=residential": "Residential building", "building=commercial": "Commercial building", "building=public": "Public building",
  "building=industrial": "Industrial building", "building=retail": "Shop building", "landuse=grass": "Grass", "landuse=forest": "Forest",
  "landuse=meadow": "Meadow", "landuse=cemetery": "Cemetery", "landuse=orchard": "Orchard", "landuse=vineyard": "Vineyard", "landuse=farmland": "Farmland",
  "shop=florist": "Florist", "shop=butcher": "Butcher", "shop=laundry": "Laundry", "shop=kiosk": "Kiosk",
};
const WITH_KEY = { shop: "shop", office: "office", craft: "workshop", landuse: "land", power: "power", barrier: "", emergency: "" };
const plain = (text) => text.replaceAll("_", " ").replaceAll(":", " ");
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export function kindWords(kind) {
  if (!kind) return "";
  if (NAMED[kind]) return NAMED[kind];
  const at = kind.indexOf("=");
  const [key, value] = [kind.slice(0, at), kind.slice(at + 1)];
  if (value === "yes") return capital(plain(key));
  if (key === "power") return capital(`power ${plain(value)}`);
  const suffix = WITH_KEY[key];
  return capital(suffix ? `${plain(value)} ${suffix}` : plain(value));
}

export function title(place) {
  const tags = place.tags ?? {};
  if (place.name) return place.name;
  const address = addressOf(tags);
  return address || `${kindWords(place.kind)} (unnamed)`;
}

export function addressOf(tags) {
  const street = [tags["addr:street"], tags["addr:housenumber"]].filter(Boolean).join(" ");
  return [street, tags["addr:city"]].filter(Boolean).join(", ");
}

export function metres(number) {
  if (number === null || number === undefined) return "";
  return number < 1000 ? `${Math.round(number)} m` : `${(number / 1000).toFixed(number < 10_000 ? 1 : 0)} km`;
}

export function squareMetres(number) {
  if (!number) return "";
  return number < 10_000 ? `${Math.round(number).toLocaleString("en")} m²` : `${(number / 10_000).toFixed(1)} ha`;
}

const KEY_WORDS = {
  name: "name", cuisine: "cuisine", "addr:street": "street", "addr:city": "town", "building:levels": "storeys",
  brand: "brand", operator: "operator", religion: "religion", denomination: "denomination", sport: "sport",
  opening_hours: "opening hours", wheelchair: "access", surface: "surface",
};
const SMALL = /^(addr:(country|postcode|city|housenumber)|source|ref|check_date)/;

/** Return at most three short reasons why a hit is similar, from its explanation. */
export function reasons(why, kind) {
  if (!why) return [];
  const found = [];
  const shared = why.tags?.shared ?? [];
  for (const { tag } of shared) {
    const [key, value] = [tag.slice(0, tag.indexOf("=")), tag.slice(tag.indexOf("=") + 1)];
    if (SMALL.test(key)) continue;
    if (tag === kind) found.push("same kind");
    else if (value === kind.slice(kind.indexOf("=") + 1)) continue;
    else if (key === "building" && value === "yes") found.push("also a building");
    else if (KEY_WORDS[key]) found.push(`same ${KEY_WORDS[key]}`);
    else found.push(plain(value === "yes" ? key : `${key} ${value}`));
  }
  for (const { first, second } of why.tags?.near ?? []) {
    const [a, b] = [first, second].map((tag) => tag.slice(0, tag.indexOf("=")));
    if (a === b && a !== "name" && !SMALL.test(a) && KEY_WORDS[a]) found.push(`similar ${KEY_WORDS[a]}`);
  }
  const size = sizeWords(why.size);
  const list = found.slice(0, 2);
  if (size) list.push(size);
  const around = why.around?.[0];
  if (list.length < 3 && around && around.share > 0.08) list.push(`${kindWords(around.kind).toLowerCase()} around`);
  return [...new Set([...list, ...found.slice(2)])].slice(0, 3);
}

export function sizeWords(size) {
  const ratio = size?.ratio;
  if (!ratio) return "";
  if (ratio >= 0.8 && ratio <= 1.25) return "same size";
  const times = (number) => (number >= 10 ? Math.round(number) : number.toFixed(1).replace(/\.0$/, ""));
  return ratio > 1 ? `${times(ratio)}× larger` : `${times(1 / ratio)}× smaller`;
}

/** Return a note without what is said of the command's options. */
export function noteWords(note) {
  return note.replace(/[;,.] --[a-z][\w-]*[^;]*$/, "").replace(/^--([a-z][\w-]*)/, "The filter $1");
}

export const PART_WORDS = {
  tags: "Tags", geometry: "Shape", surroundings: "Surroundings", own_to_surroundings: "Across",
  surroundings_to_own: "Across", mean: "Contents", counts: "Counts",
};

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Return a query as the command that answers the same. */
export function asCommand(path, query, target) {
  const parts = ["geoindex query", quoted(path)];
  for (const [name, value] of Object.entries(query)) {
    const flag = { table: "cells", k: "k" }[name] ?? name.replaceAll("_", "-");
    if (value === true) { parts.push(`--${flag}`); continue; }
    if (name === "table") { if (value === "cells") parts.push("--cells"); continue; }
    if (name === "bbox") { parts.push(`--bbox=${value.join(",")}`); continue; }
    for (const each of Array.isArray(value) ? value : [value]) parts.push(name === "k" ? `-k ${each}` : `--${flag} ${quoted(String(each))}`);
  }
  if (target) parts.push("--target", quoted(target));
  return parts.join(" ");
}

/** Return a query as Python that answers the same. */
export function asPython(path, query, target) {
  const options = Object.entries(query).filter(([name]) => name !== "table");
  const text = options.map(([name, value]) => `    ${name}=${value === true ? "True" : JSON.stringify(value)},`);
  if (query.table === "cells") text.push("    cells=True,");
  if (target) text.push(`    target=${JSON.stringify(target)},`);
  return `import geoindex as gi\n\nindex = gi.open(${JSON.stringify(path)})\nhits = index.query(\n${text.join("\n")}\n)\n`;
}
