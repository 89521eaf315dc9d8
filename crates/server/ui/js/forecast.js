// The forecast card: choice, chart, keyboard reading, table, copies. The figure comes from the server as it is drawn.
import { get, plotly } from "./api.js";
import { byId, clean, copyButtons, el, empty } from "./dom.js";
import { clock, number, percent, span, time } from "./format.js";
import { onTheme, theme } from "./theme.js";

const ROWS_PAST = 24;
const ROWS_MAX = 240;
const state = { list: [], id: new URLSearchParams(location.search).get("forecast"), chart: null, cursor: -1 };

/** Loads the list and shows the chosen one, or the first. */
export async function loadForecasts() {
  const { items } = await get("/api/forecasts?limit=1000");
  state.list = items;
  const some = items.length > 0;
  byId("forecast-body").hidden = !some;
  byId("forecast-pick").hidden = !some;
  byId("forecast-empty").hidden = some;
  if (!some) {
    byId("forecast-title").textContent = "Forecast";
    byId("forecast-facts").textContent = "";
    byId("forecast-empty").replaceChildren(empty("No forecast yet",
      "Send samples and the first forecast follows by itself. To connect a Prometheus, add this to its configuration:",
      `remote_write:\n  - url: ${location.origin}/api/v1/write`));
    return;
  }
  if (!items.some((item) => item.id === state.id)) state.id = items[0].id;
  const options = items.map((item) => el("option", { value: item.id, text: item.title, selected: item.id === state.id }));
  byId("forecast-pick").replaceChildren(...options);
  await show();
}

export function startForecast() {
  byId("forecast-pick").addEventListener("change", (event) => {
    state.id = event.target.value;
    const url = new URL(location.href);
    url.searchParams.set("forecast", state.id);
    history.replaceState(null, "", url);
    report(show());
  });
  byId("chart-table").addEventListener("click", toggleTable);
  byId("chart").addEventListener("keydown", onKey);
  onTheme(() => state.list.length && report(draw()));
}

export function toggleTable() {
  const button = byId("chart-table");
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  byId("chart-rows").hidden = !open;
  if (open) fillTable();
}

async function show() {
  const item = state.list.find((each) => each.id === state.id);
  byId("forecast-title").textContent = clean(item.title);
  byId("forecast-facts").replaceChildren(...facts(item));
  byId("forecast-copies").replaceChildren(...copyButtons(item.copies, `/api/forecasts/${encodeURIComponent(item.id)}`));
  state.chart = null;
  state.cursor = -1;
  byId("chart-readout").textContent = "";
  await draw();
  if (!byId("chart-rows").hidden) await fillTable();
}

function facts(item) {
  const pair = (name, value) => el("span", {}, `${name} `, el("b", { text: value }));
  return [
    pair("next", span(item.horizon)), pair("model", item.model),
    item.relative_error !== null && pair("error", `${item.relative_error.toFixed(2)} of seasonal-naive`),
    item.coverage !== null && pair("band held", `${percent(item.coverage)} %`),
    pair("made", clock(item.origin)),
  ].filter(Boolean);
}

async function draw() {
  const chart = byId("chart");
  const id = state.id;
  const width = Math.max(200, Math.round(chart.clientWidth) || 800);
  const path = `/api/figures/forecast?id=${encodeURIComponent(id)}&width=${Math.min(width, 4096)}&theme=${theme()}`;
  const [Plotly, figure] = await Promise.all([plotly(), get(path)]);
  if (id !== state.id) return;
  // The same revision keeps the reader's zoom when the figure is refreshed.
  figure.layout.uirevision = id;
  await Plotly.react(chart, figure.data, figure.layout, { ...figure.config, displayModeBar: width < 520 ? false : "hover" });
  byId("chart-summary").textContent = figure.meta.summary;
  chart.setAttribute("aria-label", clean(figure.meta.title));
}

/** Past and forecast in one list of `[at, value, lower, upper]`; bounds only ahead. */
async function points() {
  state.chart ??= await get(`/api/forecasts/${encodeURIComponent(state.id)}`);
  const { past, median, bands } = state.chart;
  const widest = bands.reduce((a, b) => (a && a.level > b.level ? a : b), null);
  return [
    ...past.map(([at, value]) => ({ at, value })),
    ...median.map(([at, value], i) => ({ at, value, ahead: true, lower: widest?.lower[i], upper: widest?.upper[i], level: widest?.level })),
  ];
}

async function fillTable() {
  const all = await points();
  const ahead = all.filter((row) => row.ahead);
  const every = Math.ceil(ahead.length / ROWS_MAX) || 1;
  const rows = [...all.filter((row) => !row.ahead).slice(-ROWS_PAST), ...ahead.filter((_, i) => i % every === 0)];
  const level = ahead[0]?.level ? ` (${percent(ahead[0].level)} %)` : "";
  const head = ["Time (UTC)", "", "Value", `Lower${level}`, `Upper${level}`];
  byId("chart-rows").replaceChildren(el("table", {},
    el("caption", { class: "hidden", text: byId("forecast-title").textContent }),
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...rows.map((row) => el("tr", { class: row.ahead ? "ahead" : null },
      el("td", { text: time(row.at) }), el("td", { text: row.ahead ? "forecast" : "measured" }), el("td", { text: number(row.value) }),
      el("td", { text: row.ahead ? number(row.lower) : "" }), el("td", { text: row.ahead ? number(row.upper) : "" }))))));
}

function onKey(event) {
  const act = {
    ArrowLeft: () => move(event.shiftKey ? -10 : -1), ArrowRight: () => move(event.shiftKey ? 10 : 1),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => zoomAll(), "[": () => pan(-0.25), "]": () => pan(0.25),
  }[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  report(Promise.resolve(act()));
}

async function move(by) {
  const all = await points();
  if (!all.length) return;
  const firstAhead = all.findIndex((row) => row.ahead);
  const from = state.cursor < 0 ? Math.max(0, firstAhead - 1) : state.cursor;
  state.cursor = Math.min(all.length - 1, Math.max(0, from + by));
  const row = all[state.cursor];
  const bounds = row.ahead && row.lower !== undefined ? `, ${percent(row.level)} % between ${number(row.lower)} and ${number(row.upper)}` : "";
  byId("chart-readout").textContent = `${time(row.at)} UTC  ${row.ahead ? "forecast" : "measured"} ${number(row.value)}${bounds}`;
  const subplot = "xy";
  window.Plotly?.Fx.hover(byId("chart"), { xval: row.at }, subplot);
}

function range() {
  const axis = byId("chart")._fullLayout?.xaxis;
  return axis ? axis.range.map((text) => +new Date(/[zZ]$/.test(text) ? text : `${String(text).replace(" ", "T")}Z`)) : null;
}

const show_range = (from, to) => window.Plotly.relayout(byId("chart"), { "xaxis.range": [from, to] });

function zoom(factor) {
  const now = range();
  if (!now) return;
  const middle = (now[0] + now[1]) / 2;
  const half = Math.max(60_000, ((now[1] - now[0]) / 2) * factor);
  return show_range(middle - half, middle + half);
}

function pan(part) {
  const now = range();
  if (!now) return;
  const by = (now[1] - now[0]) * part;
  return show_range(now[0] + by, now[1] + by);
}

const zoomAll = () => window.Plotly?.relayout(byId("chart"), { "xaxis.autorange": true, "yaxis.autorange": true });

/** A failed picture is said in its place. */
function report(promise) {
  promise.catch((fault) => { byId("chart-summary").textContent = `The chart could not be drawn: ${fault.message}`; });
}
