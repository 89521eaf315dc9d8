// Numbers, times and sizes for people.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

let skew = 0;
/** The server's clock counts, not this machine's: data of a replayed day is as old as the server says. */
export const setNow = (millis) => { skew = millis - Date.now(); };
export const now = () => Date.now() + skew;

/** `4,812`, `1.25M`, `0.0042`, `–` for what is no number. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return compact.format(value);
  return (size >= 1000 ? whole : short).format(value);
}

export const percent = (ratio) => `${Math.round(ratio * 100)}`;

/** Binary sizes. */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${short.format(value)} ${units[at]}`;
}

/** `2026-11-21 19:40` in UTC. */
export const time = (millis) => new Date(millis).toISOString().slice(0, 16).replace("T", " ");

/** `19:40` today, else `21 Nov 19:40`. */
export function clock(millis, today = now()) {
  const at = new Date(millis);
  const sameDay = at.toISOString().slice(0, 10) === new Date(today).toISOString().slice(0, 10);
  const day = sameDay ? "" : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" })} `;
  return day + at.toISOString().slice(11, 16);
}

/** `2 h`, `35 min`, `3 d`. */
export function span(millis) {
  const minutes = Math.max(0, Math.round(millis / 60000));
  if (minutes < 1) return "moments";
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

/** `+212 %`, or the two values when there is no base. */
export function change(value, expected) {
  if (!Number.isFinite(value) || !Number.isFinite(expected) || value === null || expected === null || expected === 0) return number(value);
  const ratio = (value - expected) / Math.abs(expected);
  const sign = ratio > 0 ? "+" : "−";
  return `${sign}${whole.format(Math.abs(ratio) * 100)} %`;
}

export function money(amount, currency) {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, maximumFractionDigits: Math.abs(amount) < 10 ? 2 : 0 }).format(amount);
  } catch {
    return `${number(amount)} ${currency}`;
  }
}

export const plural = (n, one, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`;
