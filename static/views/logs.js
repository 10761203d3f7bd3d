// The last few hundred requests, live, with filters.
import { h, button } from "../dom.js";
import { follow } from "../api.js";
import { t, number, duration, clock, errorWord } from "../words.js";

// Kept to be found; shown at first, and more by each step: a busy gateway brings dozens a second, a screen has room for two.
const MOST = 500, SHOWN = 30, STEP = 100;
const OUTCOMES = () => ({ "": t("every outcome"), ok: t("went well"), bad: t("went wrong"), caller: t("the caller's fault (4xx)"), ours: t("ours or Google's (5xx)"), left: t("the caller left") });
const fits = {
  "": () => true, ok: (line) => !line.error, bad: (line) => !!line.error,
  caller: (line) => line.status >= 400 && line.status < 499, ours: (line) => line.status >= 500, left: (line) => line.status === 499,
};
const tone = (line) => !line.error ? "good" : line.status >= 500 ? "bad" : "warn";
const chosen = { outcome: "", model: "", key: "", word: "" };

const about = (line) => {
  const rows = [["id", line.id], [t("Address"), `${line.method} ${line.path}`], [t("Wire format"), line.dialect], [t("Model asked"), line.model], [t("Model that answered"), line.served], [t("Account"), line.account], [t("Attempts"), line.tries],
    [t("First word"), line.first_ms === null ? null : duration(line.first_ms / 1000)], [t("Tokens"), t("{in} in, {out} out", { in: number(line.tokens_in), out: number(line.tokens_out) })], [t("Error"), line.error ? errorWord(line.error) : null], [t("Reason"), line.reason]];
  return h("dl", { class: "rows" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
};

// What a line holds is put together when somebody opens it: hundreds come in a few seconds.
const row = (line) => {
  const element = h("details", { class: "line", ontoggle: () => { if (element.open && element.children.length < 2) element.append(about(line)); } },
    h("summary", {},
      h("span", { class: "mono" }, clock(line.t)), h("span", { class: `tag ${tone(line)}` }, line.status), h("span", { class: "line-what" }, line.model || line.path, line.served && line.served !== line.model ? h("span", { class: "muted" }, ` → ${line.served}`) : null),
      h("span", { class: "line-key muted" }, line.key), h("span", { class: "line-error" }, line.error ? errorWord(line.error) : ""), h("span", { class: "num" }, duration(line.ms / 1000))));
  return element;
};

/** The view. */
export default (root) => {
  const lines = new Map(); // id -> line, oldest first
  const rows = new Map(); // id -> element, of the newest that match
  let live = true;
  let waiting = [];
  const list = h("div", { class: "card lines", role: "log", "aria-live": "off", "aria-label": t("Logs") });
  const empty = h("p", { class: "empty" }, t("No request yet."));
  let most = SHOWN;
  const more = button(t("Show more"), () => { most += STEP; sift(); });
  const count = h("p", { class: "muted" });
  const select = (name, options) => {
    const made = h("select", { "aria-label": name, onchange: () => { chosen[made.dataset.of] = made.value; sift(); } }, Object.entries(options).map(([value, label]) => h("option", { value }, label)));
    return made;
  };
  const outcome = select(t("Outcome"), OUTCOMES()), model = select(t("Model"), { "": t("every model") }), key = select(t("Key"), { "": t("every key") });
  outcome.dataset.of = "outcome"; model.dataset.of = "model"; key.dataset.of = "key";
  outcome.value = chosen.outcome;
  const word = h("input", { type: "search", placeholder: t("Request id, account, reason…"), "aria-label": t("Filter"), value: chosen.word, oninput: () => { chosen.word = word.value; sift(); } });
  const learn = (control, value) => {
    const known = (control.known ??= new Set());
    if (!value || known.has(value) || known.size >= 100) return;
    known.add(value);
    control.append(h("option", { value }, value));
  };
  const matches = (line) => fits[chosen.outcome](line) && (!chosen.model || line.model === chosen.model) && (!chosen.key || line.key === chosen.key) &&
    (!chosen.word || JSON.stringify(line).toLowerCase().includes(chosen.word.toLowerCase()));
  const tell = () => {
    const fitting = [...lines.values()].filter(matches).length;
    count.textContent = t("{shown} of {all} requests", { shown: number(fitting), all: number(lines.size) });
    empty.hidden = fitting > 0;
    more.hidden = fitting <= most;
  };
  const trim = (kept, size, gone) => {
    for (const [id, value] of kept) { if (kept.size <= size) break; kept.delete(id); gone?.(value); }
  };
  const show = (some) => {
    const fresh = document.createDocumentFragment();
    for (const line of some) {
      const element = row(line);
      rows.set(line.id, element);
      fresh.prepend(element);
    }
    list.prepend(fresh);
    trim(rows, most, (element) => element.remove());
  };
  const sift = () => {
    rows.clear();
    list.replaceChildren();
    show([...lines.values()].filter(matches).slice(-most));
    tell();
  };
  const take = (some) => {
    const fresh = some.filter((line) => !lines.has(line.id));
    for (const line of fresh) {
      lines.set(line.id, line);
      learn(model, line.model);
      learn(key, line.key);
    }
    trim(lines, MOST);
    show(fresh.filter(matches).slice(-most));
    tell();
  };
  const pause = button(t("Pause"), () => {
    live = !live;
    pause.querySelector("span").textContent = live ? t("Pause") : t("Go on");
    if (live) { take(waiting); waiting = []; }
  });
  root.append(h("div", { class: "bar" }, word, outcome, model, key, h("span", { class: "grow" }), count, pause), empty, list, more);
  sift();
  return follow({ log: (some) => { if (live) take(some); else waiting = [...waiting, ...some].slice(-MOST); } });
};
