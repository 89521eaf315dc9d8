// Now: what is wrong, what will be, what to do.
import { loadAdvice, nextAdvice } from "./advice.js";
import { loadAnomalies, nextAnomaly } from "./anomalies.js";
import { get } from "./api.js";
import { byId } from "./dom.js";
import { loadForecasts, startForecast, toggleTable } from "./forecast.js";
import { plural } from "./format.js";
import { listen } from "./live.js";
import { nextTheme, startTheme } from "./theme.js";
import { showPulse, startSparks } from "./vitals.js";

/** Which lists an event makes stale. */
const STALE = { advice: ["advice"], decision: ["advice"], anomaly: ["anomalies", "forecasts"], forecast: ["forecasts"], all: ["advice", "anomalies", "forecasts"] };
const LOAD = { advice: loadAdvice, anomalies: loadAnomalies, forecasts: loadForecasts };
/** Events in a burst cause one reload. */
const SETTLE_MS = 400;
const known = { anomalies: 0, advice: { total: 0, savings: null } };

async function load(names) {
  const results = await Promise.allSettled(names.map((name) => LOAD[name]()));
  results.forEach((result, i) => { if (result.status === "fulfilled" && result.value !== undefined) known[names[i]] = result.value; });
  const failed = results.find((result) => result.status === "rejected");
  byId("headline").textContent = failed ? `Something could not be loaded: ${failed.reason.message}` : headline();
}

function headline() {
  if (alarm) return `Attention: ${alarm}`;
  const { anomalies, advice } = known;
  const parts = [anomalies ? `${plural(anomalies, "anomaly", "anomalies")} open` : "nothing unusual"];
  parts.push(advice.total ? plural(advice.total, "recommendation") : "nothing to change");
  if (advice.savings) parts.push(`up to ${advice.savings} a month to save`);
  const text = parts.join(" · ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

let alarm = "";
/** One beat: the vital signs, and what is wrong with the server itself before anything else. */
function beat(pulse) {
  showPulse(pulse);
  const now = (pulse.alarms ?? []).map(({ message }) => message).join(" · ");
  if (now === alarm) return;
  alarm = now;
  byId("headline").textContent = headline();
}

const waiting = new Set();
let timer = 0;
function changed(kind) {
  for (const name of STALE[kind] ?? []) waiting.add(name);
  if (timer || !waiting.size) return;
  timer = setTimeout(() => {
    const names = [...waiting];
    waiting.clear();
    timer = 0;
    load(names);
  }, SETTLE_MS);
}

function onKey(event) {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {
    f: () => byId("forecast-pick").focus(), c: () => byId("chart").focus(), t: toggleTable, a: nextAnomaly, r: nextAdvice,
    d: nextTheme, "?": () => byId("keys").showModal(),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

startTheme();
startForecast();
byId("help").addEventListener("click", () => byId("keys").showModal());
document.addEventListener("keydown", onKey);
listen({ pulse: beat, changed });
// The first beat brings the server's clock, by which the lists tell ages.
get("/api/pulse").then(({ now }) => beat(now))
  .catch(() => { byId("tile-ingest").querySelector(".note").textContent = "not available"; })
  .finally(() => load(["anomalies", "advice", "forecasts"]))
  .then(startSparks).catch(() => {});
