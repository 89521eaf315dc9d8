// The list of open anomalies.
import { get } from "./api.js";
import { byId, copyButtons, el, empty } from "./dom.js";
import { change, clock, now, number, span } from "./format.js";

const SHAPES = {
  spike: ["●", "spike"], drop: ["○", "drop"], burst: ["■", "burst"], shift_up: ["▲", "shift up"], shift_down: ["▼", "shift down"],
  trend: ["▶", "trend"], regression: ["◆", "regression"],
};
let open = new Set();

/** Loads and shows them; answers how many there are. */
export async function loadAnomalies() {
  const { items, total } = await get("/api/anomalies?state=open&limit=50");
  byId("anomalies-count").textContent = total ? `${total} open` : "";
  open = new Set(items.map((item) => item.id).filter((id) => open.has(id)));
  byId("anomalies-list").replaceChildren(...(items.length ? items.map(row) : [el("li", {}, empty("Nothing unusual",
    "Every series is watched against its own past. An anomaly appears here within seconds of the sample that shows it."))]));
  return total;
}

/** Moves the focus to the next one. */
export function nextAnomaly() {
  const all = [...byId("anomalies-list").querySelectorAll("summary")];
  const at = all.indexOf(document.activeElement);
  all[(at + 1) % all.length]?.focus();
}

function row(item) {
  const [shape, name] = SHAPES[item.kind] ?? ["●", item.kind];
  const since = item.end ? `${clock(item.start)} – ${clock(item.end)}` : `since ${clock(item.start)}, ${span(now() - item.start)} ago`;
  const details = el("details", {
    open: open.has(item.id),
    ontoggle: () => (details.open ? open.add(item.id) : open.delete(item.id)),
  },
  el("summary", {},
    el("span", { class: "shape", data: { kind: item.kind }, text: shape, "aria-hidden": "true" }),
    el("span", { class: "title", text: item.title }),
    el("span", { class: "change", text: change(item.value, item.expected) }),
    el("span", { class: "when", text: `${name} · ${since}` })),
  el("div", { class: "more" },
    el("p", { text: item.explanation }),
    el("p", { text: `Measured ${number(item.value)}, expected ${number(item.expected)}.` }),
    el("pre", { text: item.series }),
    el("span", { class: "copies" }, ...copyButtons(item.evidence, `/api/anomalies/${encodeURIComponent(item.id)}`))));
  return el("li", {}, details);
}
