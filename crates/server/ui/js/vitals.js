// The strip of vital signs: numbers each second, two small charts that move.
import { get, plotly } from "./api.js";
import { byId } from "./dom.js";
import { bytes, number, percent, setNow } from "./format.js";
import { onTheme, theme } from "./theme.js";

const POINTS = 600;
const SPARKS = {
  ingest: { tile: "tile-ingest", value: (pulse) => pulse.samples_per_second },
  host: { tile: "tile-host", value: (pulse) => pulse.host?.cpu ?? null },
};

/** Shows one beat. */
export function showPulse(pulse) {
  const { ingest, host } = pulse;
  setNow(pulse.at);
  set("tile-ingest", number(pulse.samples_per_second), ingest.rejected
    ? `${number(ingest.samples)} in all, ${number(ingest.rejected)} refused` : `${number(ingest.samples)} in all`);
  set("tile-host", host ? percent(host.cpu) : "–", host
    ? `${bytes(host.memory_used_bytes)} memory` : "this machine is not watched");
  set("tile-series", number(ingest.series), `${bytes(ingest.memory_bytes)} in memory`);
  set("tile-stored", bytes(ingest.stored_bytes), stored(ingest));
  for (const [kind, spark] of Object.entries(SPARKS)) extend(kind, pulse.at, spark.value(pulse));
}

export async function startSparks() {
  await drawAll();
  onTheme(drawAll);
}

const stored = (ingest) => {
  const log = `log ${bytes(ingest.log_bytes)}`;
  if (!(ingest.stored_samples > 0)) return log;
  return `${(ingest.stored_bytes / ingest.stored_samples).toFixed(2)} bytes a sample, ${log}`;
};

function set(tile, value, note) {
  const node = byId(tile);
  node.querySelector(".big b").textContent = value;
  node.querySelector(".note").textContent = note;
}

async function drawAll() {
  await Promise.all(Object.keys(SPARKS).map(draw));
}

async function draw(kind) {
  const [Plotly, figure] = await Promise.all([plotly(), get(`/api/figures/${kind}?theme=${theme()}`)]);
  const tile = byId(SPARKS[kind].tile);
  const { data, layout } = figure;
  layout.xaxis.range = undefined;
  await Plotly.react(tile.querySelector(".spark"), data, layout, { ...figure.config, displayModeBar: false, staticPlot: false });
  tile.querySelector("figcaption").textContent = figure.meta.summary;
}

function extend(kind, at, value) {
  const chart = byId(SPARKS[kind].tile).querySelector(".spark");
  if (!window.Plotly || !chart.data?.length || document.hidden || value === null) return;
  window.Plotly.extendTraces(chart, { x: [[at]], y: [[value]] }, [0], POINTS);
}
