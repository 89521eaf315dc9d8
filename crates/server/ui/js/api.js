// The one door to the server.

/** JSON of `path`; throws an Error whose message is the server's, with its hint. */
export async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => null);
  if (answer.ok) return body;
  const { message, hint } = body?.error ?? {};
  const fault = new Error([message ?? `${path} answered ${answer.status}`, hint].filter(Boolean).join("; "));
  fault.status = answer.status;
  throw fault;
}

let script;
/** The chart library, loaded once, after the page has been painted. */
export function plotly() {
  script ??= new Promise((resolve, reject) => {
    const node = document.createElement("script");
    node.src = "/assets/plotly.js";
    node.onload = () => resolve(window.Plotly);
    node.onerror = () => { script = undefined; reject(new Error("the chart script did not load")); };
    document.head.append(node);
  });
  return script;
}
