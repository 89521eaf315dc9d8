// Elements without markup strings: every text goes through textContent, so foreign names stay text.

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Without the controls that would show a text in another order than it is stored. */
export const clean = (text) => String(text).replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/**
 * An element with properties and children; null children are left out.
 * @param {string} tag
 * @param {Record<string, unknown>} [props] `class`, `text`, `on…` handlers, `data` object, else attributes
 * @param {...(Node|string|null|undefined|false)} children
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = String(value);
    else if (name === "text") node.textContent = clean(value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A note that says what to do next. */
export function empty(title, text, command) {
  return el("div", { class: "empty" },
    el("strong", { text: title }), el("span", { text }),
    command && el("pre", { text: command }), command && copyButton("Copy", command));
}

/** A button that copies `text` and says so. */
export function copyButton(label, text) {
  const button = el("button", {
    type: "button", class: "copy", text: label, title: text,
    onclick: async () => {
      await copy(text);
      button.dataset.done = "1";
      setTimeout(() => delete button.dataset.done, 1600);
    },
  });
  return button;
}

/** The buttons of a list of copies: PromQL, SQL, CLI and always curl. */
export function copyButtons(copies, path) {
  const curl = `curl '${location.origin}${path}'`;
  const list = [["PromQL", copies?.promql], ["SQL", copies?.sql], ["CLI", copies?.cli], ["curl", curl]];
  return list.filter(([, text]) => text).map(([label, text]) => copyButton(label, text));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Off loopback and without TLS there is no clipboard: select the text in a field instead.
    const field = el("textarea", { class: "hidden", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}
