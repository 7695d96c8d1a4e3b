// Ask the server; a fault is an Error with the problem's code, hint and candidates.

const API = "/api/v1";

export class Problem extends Error {
  constructor(problem) {
    super(problem.detail ?? "the server does not answer");
    Object.assign(this, problem);
  }
}

async function asked(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`${API}${path}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The server does not answer. Is geoindex serve still running?", code: "offline" });
  }
  if (!answer.ok) throw new Problem(await answer.json().catch(() => ({ detail: `${answer.status}` })));
  return answer;
}

const json = async (path, options) => (await asked(path, options)).json();
const post = (content, signal) => ({
  method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
});
const at = (ix) => `/indexes/${encodeURIComponent(ix)}`;

export const indexes = () => json("/indexes");
export const index = (ix) => json(at(ix));
export const find = (ix, text, signal) => json(`${at(ix)}/find?limit=8&q=${encodeURIComponent(text)}`, { signal });
export const entity = (ix, id) => json(`${at(ix)}/entities/${id.split("/").map(encodeURIComponent).join("/")}`);
export const row = (ix, number) => json(`${at(ix)}/rows/${number}`);
export const similar = (ix, a, b) => json(`${at(ix)}/similar?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}`);
export const query = (ix, content, signal) => json(`${at(ix)}/query`, post(content, signal));
export const chip = (ix, id) => `${API}${at(ix)}/chips/${id}.png`;
export const tiles = (ix, version, layers) => `${location.origin}${API}/tiles/${encodeURIComponent(ix)}/{z}/{x}/{y}.mvt?v=${version}&layers=${layers}`;

export async function file(ix, content, format) {
  return (await asked(`${at(ix)}/query?format=${format}`, post(content))).blob();
}

/** Return the similarity of every row, and the least and greatest. */
export async function scores(ix, query) {
  const answer = await asked(`${at(ix)}/scores`, post({ query }));
  const halves = new Uint16Array(await answer.arrayBuffer());
  const found = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i += 1) found[i] = float16(halves[i]);
  return found;
}

function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
