// Light, dark, or as the system says; kept across visits.
import { byId } from "./dom.js";

const ORDER = ["system", "light", "dark"];
const LOOK = { system: ["◐", "follow the system"], light: ["○", "light"], dark: ["●", "dark"] };
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

const chosen = () => document.documentElement.dataset.theme ?? "system";

/** `light` or `dark`, whatever it comes from. */
export const theme = () => (chosen() === "system" ? (dark.matches ? "dark" : "light") : chosen());

export const onTheme = (listener) => listeners.add(listener);

export function nextTheme() {
  const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", next);
  } catch { /* storage may be off */ }
  show();
}

function show() {
  const [sign, name] = LOOK[chosen()];
  const button = byId("theme");
  button.firstElementChild.textContent = sign;
  button.setAttribute("aria-label", `Theme: ${name}`);
  for (const listener of listeners) listener(theme());
}

export function startTheme() {
  byId("theme").addEventListener("click", nextTheme);
  dark.addEventListener("change", show);
  show();
}
