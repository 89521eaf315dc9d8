// The server's events. The browser reconnects by itself; after a gap everything is loaded again.
import { byId } from "./dom.js";

/** @param {{pulse: (pulse: object) => void, changed: (kind: string) => void}} on */
export function listen(on) {
  const source = new EventSource("/api/live");
  let lost = false;
  source.addEventListener("open", () => {
    say("live", "live");
    if (lost) on.changed("all");
    lost = false;
  });
  source.addEventListener("error", () => {
    lost = true;
    say("lost", source.readyState === EventSource.CLOSED ? "offline" : "reconnecting");
  });
  source.addEventListener("pulse", (event) => on.pulse(JSON.parse(event.data)));
  for (const kind of ["advice", "anomaly", "decision", "forecast", "job"]) source.addEventListener(kind, () => on.changed(kind));
  source.addEventListener("lagged", () => on.changed("all"));
}

function say(state, text) {
  const node = byId("live");
  if (node.dataset.state === state && node.lastElementChild.textContent === text) return;
  node.dataset.state = state;
  node.lastElementChild.textContent = text;
}
