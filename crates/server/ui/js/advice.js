// Recommendations as cards: current → proposed, why, how sure, what it saves, what would break, how to undo it.
import { get } from "./api.js";
import { byId, copyButton, copyButtons, el, empty } from "./dom.js";
import { clock, money, percent } from "./format.js";

const KINDS = { scale: "scale", rightsize: "right-size", capacity: "capacity", node: "nodes", cost: "cost" };
const SURE = { high: "●●●", medium: "●●○", low: "●○○", none: "○○○" };
let open = new Set();

/** Loads and shows them; answers `{total, savings}`, savings as text or null. */
export async function loadAdvice() {
  const { items, total } = await get("/api/recommendations?state=open&limit=60");
  byId("advice-count").textContent = total ? `${total} open` : "";
  open = new Set(items.map((item) => item.id).filter((id) => open.has(id)));
  byId("advice-cards").replaceChildren(...(items.length ? items.map(card) : [el("div", { class: "card" }, empty("Nothing to change",
    "Current sizes fit what is measured and expected. Advice appears once a workload has enough history; a day is a start, two weeks are good."))]));
  return { total, savings: savings(items) };
}

export function nextAdvice() {
  const all = [...byId("advice-cards").querySelectorAll("summary")];
  const at = all.indexOf(document.activeElement);
  all[(at + 1) % all.length]?.focus();
}

/** The sum of what is saved a month, when it is all in one currency. */
function savings(items) {
  const monthly = items.map((item) => item.saving).filter((saving) => saving?.per === "month" && saving.amount > 0);
  const currency = monthly[0]?.currency;
  if (!currency || monthly.some((saving) => saving.currency !== currency)) return null;
  return money(monthly.reduce((sum, saving) => sum + saving.amount, 0), currency);
}

function card(item) {
  const details = el("details", {
    open: open.has(item.id),
    ontoggle: () => (details.open ? open.add(item.id) : open.delete(item.id)),
  },
  el("summary", { text: "Evidence, risk and undo", "aria-label": `Evidence, risk and undo of ${item.target}` }),
  el("dl", {},
    term("How sure", item.confidence.basis), term("If it is wrong", item.risk),
    el("div", {}, el("dt", { text: "Undo" }), el("dd", {}, el("pre", { text: item.undo }))),
    item.evidence.promql && el("div", {}, el("dt", { text: "Evidence" }), el("dd", {}, el("pre", { text: item.evidence.promql })))),
  el("div", { class: "tools" },
    el("span", { class: "copies" }, ...copyButtons(item.evidence, `/api/recommendations/${encodeURIComponent(item.id)}`), copyButton("undo", item.undo))));
  return el("article", { class: "card advice", data: { kind: item.kind } },
    el("header", {}, el("span", { class: "badge", text: KINDS[item.kind] ?? item.kind }), el("h3", { text: item.target })),
    el("p", { class: "change-line" },
      el("span", { class: "from", text: item.current }), el("span", { class: "arrow", text: "→", "aria-label": "to" }),
      el("span", { class: "to", text: item.proposed })),
    el("p", { class: "reason", text: item.reason }),
    el("p", { class: "meta" }, confidence(item.confidence), saving(item.saving), due(item.due)),
    details);
}

const term = (name, text) => el("div", {}, el("dt", { text: name }), el("dd", { text }));

function confidence({ level, probability }) {
  const sure = probability === undefined || probability === null ? level : `${level}, ${percent(probability)} %`;
  return el("span", {}, el("span", { class: "dots", text: SURE[level] ?? "", "aria-hidden": "true" }), "confidence ", el("b", { text: sure }));
}

function saving(item) {
  if (!item) return null;
  const [kind, word] = item.amount >= 0 ? ["saves", "saves "] : ["costs", "costs "];
  return el("span", { class: kind }, word, el("b", { text: `${money(Math.abs(item.amount), item.currency)} / ${item.per}` }));
}

const due = (at) => (at ? el("span", {}, "by ", el("b", { text: clock(at) })) : null);
