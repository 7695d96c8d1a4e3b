// Pick, sort and point: the report can be read without.
"use strict";
document.documentElement.classList.add("scripted");

// pickers fade what was not picked; a mark without a name is never faded
for (const input of document.querySelectorAll("[data-pick]")) {
  input.addEventListener("change", () => {
    for (const mark of input.closest(".picked").querySelectorAll("[data-in]"))
      mark.classList.toggle("faded", input.value !== "" && mark.dataset.in !== input.value);
  });
}

// a click on a column's name sorts by it, and another click the other way round
const worth = (row, i) => {
  const text = row.cells[i].firstChild ? row.cells[i].firstChild.textContent.trim() : "";
  const value = parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
  return Number.isNaN(value) ? text : value;
};
const order = (a, b) =>
  typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1;
for (const head of document.querySelectorAll("thead th")) {
  head.classList.add("sortable");
  head.tabIndex = 0;
  const sort = () => {
    const body = head.closest("table").tBodies[0], i = head.cellIndex;
    const way = head.ariaSort === "descending" ? 1 : -1;
    const rows = [...body.rows].sort((a, b) => way * order(worth(a, i), worth(b, i)));
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
    body.append(...rows);
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => {
    if (event.key === "Enter") sort();
  });
}

// the title of a mark, at once and in the page's own letters
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
document.addEventListener("pointerover", (event) => {
  const mark = event.target.closest(".m");
  tip.hidden = !mark;
  if (!mark) return;
  const title = mark.querySelector("title");
  if (title) {
    mark.dataset.label = title.textContent;
    title.remove();
    mark.setAttribute("aria-label", mark.dataset.label);
  }
  tip.textContent = mark.dataset.label;
  const box = mark.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const left = Math.min(Math.max(event.clientX - size.width / 2, 8), innerWidth - size.width - 8);
  tip.style.left = `${left}px`;
  tip.style.top = `${box.top > size.height + 14 ? box.top - size.height - 8 : box.bottom + 8}px`;
});

// paper has no clicks
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
