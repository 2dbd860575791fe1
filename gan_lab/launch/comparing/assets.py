"""The page's style and its one script: tables that sort, which are complete without it."""

STYLE = """
:root { color-scheme: light dark; --face: #ffffff; --ink: #24292f; --soft: #57606a;
  --line: #d0d7de; --panel: #f6f8fa; --mark: #0969b8; --warn: #9a6700; --warnface: #fff8e5; }
@media (prefers-color-scheme: dark) { :root { --face: #0d1117; --ink: #e6edf3; --soft: #9da7b3;
  --line: #3d444d; --panel: #161b22; --mark: #58a6ff; --warn: #e3b341; --warnface: #272215; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 88rem; background: var(--face); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p, ul { margin: .5rem 0; max-width: 75ch; }
p, li, td, code, figcaption { overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
a { color: var(--mark); }
.soft { color: var(--soft); font-size: .875rem; }
.say { border-left: 4px solid var(--mark); padding: .25rem .75rem; background: var(--panel); }
.warn { border-left-color: var(--warn); background: var(--warnface); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td { min-width: 2.5rem; }
td.number, td.short { white-space: nowrap; }
td.long { min-width: 12rem; }
thead th { background: var(--panel); white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
tr.first td { font-weight: 600; }
tr.unranked td { color: var(--soft); }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--mark); }
th button::after { content: " \\2195"; color: var(--soft); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.tiles { --least: 30rem; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least)), 1fr)); }
.grids { --least: clamp(10rem, 17vw, 15rem); }
figure { margin: 0; padding: .5rem; border: 1px solid var(--line); border-radius: 6px;
  background: var(--panel); }
figure img { display: block; width: 100%; height: auto; }
.grids img { image-rendering: pixelated; }
figcaption { font-size: .875rem; padding-top: .25rem; }
pre { overflow-x: auto; padding: .75rem; background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.key;
      const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)) * (up ? 1 : -1));
      body.append(...rows);
    });
  });
}
"""
