// Elements without markup: what is shown is always text, whoever wrote it. Nothing in this page parses HTML.
const SVG = "http://www.w3.org/2000/svg";

const build = (element, props, children) => {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name === "style") for (const [key, item] of Object.entries(value)) element.style.setProperty(key, item);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

/** An HTML element: h("p", {class: "x", onclick: f}, "text", child). */
export const h = (tag, props, ...children) => build(document.createElement(tag), props, children);
/** An SVG element. */
export const s = (tag, props, ...children) => build(document.createElementNS(SVG, tag), props, children);

/** Words that this module needs; main.js sets them (words.js imports from here). */
export const labels = { close: () => "Close" };

const PATHS = {
  overview: "M3 13h4l3-8 4 14 3-6h4",
  accounts: "M16 19v-1.500a4 4 0 0 0-4-4H7a4 4 0 0 0-4 4V19M9.5 9.500a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.400M21 19v-1.500a4 4 0 0 0-3-3.800M15.5 3.300a3.2 3.2 0 0 1 0 6.1",
  playground: "M4 5h16v11H9l-5 4z",
  keys: "M14.5 9.5 21 3M18 6l2.5 2.500M15.5 8.500l2 2M9 20a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11",
  plugins: "M9 3v5M15 3v5M6 8h12v4a6 6 0 0 1-12 0zM12 18v3",
  logs: "M4 6h16M4 12h16M4 18h10",
  docs: "M5 4h9l5 5v11H5zM14 4v5h5M8.5 13h7M8.5 16.500h7",
  ready: "m5 12.5 4.5 4.500L19 7.5",
  cooling: "M12 6.500V12l3.5 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18",
  expired: "M6 6l12 12M18 6 6 18",
  rejected: "M5.6 5.600l12.8 12.800M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18",
  starting: "M12 3v4M12 17v4M3 12h4M17 12h4M5.6 5.600l2.9 2.900M15.5 15.500l2.9 2.900M18.4 5.600l-2.9 2.900M8.5 15.500l-2.9 2.9",
  unreachable: "M3 12h5M16 12h5M10 8l4 8",
  disabled: "M8 5v14M16 5v14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  clip: "M20 11.5 11.8 19.700a5 5 0 0 1-7.1-7.100L13 4.300a3.3 3.3 0 0 1 4.7 4.700l-8.2 8.200a1.6 1.6 0 0 1-2.3-2.300L14.6 7.5",
  code: "m8 7-5 5 5 5M16 7l5 5-5 5",
  download: "M12 4v11M7 10.500l5 5 5-5M5 20h14",
  refresh: "M20 5v5h-5M4 19v-5h5M5.6 9a7 7 0 0 1 11.9-2.500L20 10M4 14l2.5 3.500A7 7 0 0 0 18.4 15",
  trash: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13",
  warn: "M12 4 2.5 20h19zM12 10v4.500M12 17.300v.2",
  sun: "M12 16.500a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9M12 2.500v2M12 19.500v2M2.5 12h2M19.5 12h2M5.3 5.300l1.4 1.400M17.3 17.300l1.4 1.400M18.7 5.300l-1.4 1.400M6.7 17.300l-1.4 1.4",
  moon: "M20 14.500A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.500z",
  auto: "M12 3v18M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 7.500a4.5 4.5 0 0 1 0 9",
  exit: "M10 4H5v16h5M15 8l4 4-4 4M9 12h10",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.500L20 17M15.5 9.500h.1",
  pencil: "M4 20l1-4L16 5l3 3L8 19z",
};

/** A line icon by name; decorative unless it gets a label. */
export const icon = (name, label) =>
  s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": label ? null : "true", role: label ? "img" : null, "aria-label": label },
    s("path", { d: PATHS[name] ?? PATHS.warn }));

/** A button: label and optionally an icon; `kind` is a class. */
export const button = (label, onclick, { kind = "", glyph, title, type = "button", disabled, iconOnly } = {}) =>
  h("button", { type, class: `button ${kind}${iconOnly ? " only-icon" : ""}`, onclick, title: title ?? (iconOnly ? label : null), "aria-label": iconOnly ? label : null, disabled },
    glyph ? icon(glyph) : null, iconOnly ? null : h("span", {}, label));

/** A labelled form field. */
export const field = (label, control, hint) => {
  control.id ||= `field-${Math.random().toString(36).slice(2)}`;
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint ? h("p", { class: "hint" }, hint) : null);
};

/** Say something for a moment. */
export const toast = (text, kind = "") => {
  const shown = h("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(shown);
  setTimeout(() => shown.remove(), kind === "bad" ? 8000 : 3500);
};

/** A modal dialog that goes away with Escape; `make(close)` returns its content. Resolves with what close() was given. */
export const dialog = (title, make, { wide } = {}) =>
  new Promise((resolve) => {
    let result;
    const shown = h("dialog", { class: wide ? "wide" : "", "aria-label": title, onclose: () => { shown.remove(); resolve(result); } });
    const close = (value) => { result = value; shown.close(); };
    shown.append(
      h("header", {}, h("h2", {}, title), button(labels.close(), () => close(), { glyph: "close", kind: "quiet", iconOnly: true })),
      h("div", { class: "dialog-body" }, make(close)));
    document.body.append(shown);
    shown.showModal();
  });

/** Copy text, and say so. */
export const copy = async (text, said) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "offscreen", value: text });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(said, "good");
};

/** Remembered in this browser; a browser that forbids it forgets. */
export const remembered = {
  get(name, otherwise) {
    try { return localStorage.getItem(`gateway.${name}`) ?? otherwise; } catch { return otherwise; }
  },
  set(name, value) {
    try { localStorage.setItem(`gateway.${name}`, value); } catch { /* forbidden */ }
  },
};
