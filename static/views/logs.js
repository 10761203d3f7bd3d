// The last few hundred requests, live, with filters.
import { h, button } from "../dom.js";
import { follow } from "../api.js";
import { t, number, duration, clock, errorWord } from "../words.js";

const MOST = 500;
const OUTCOMES = () => ({ "": t("every outcome"), ok: t("went well"), bad: t("went wrong"), caller: t("the caller's fault (4xx)"), ours: t("ours or Google's (5xx)"), left: t("the caller left") });
const fits = {
  "": () => true, ok: (line) => !line.error, bad: (line) => !!line.error,
  caller: (line) => line.status >= 400 && line.status < 499, ours: (line) => line.status >= 500, left: (line) => line.status === 499,
};
const tone = (line) => !line.error ? "good" : line.status >= 500 ? "bad" : "warn";
const chosen = { outcome: "", model: "", key: "", word: "" };

const row = (line) => {
  const about = [["id", line.id], [t("Address"), `${line.method} ${line.path}`], [t("Wire format"), line.dialect], [t("Model asked"), line.model], [t("Model that answered"), line.served], [t("Account"), line.account], [t("Attempts"), line.tries],
    [t("First word"), line.first_ms === null ? null : duration(line.first_ms / 1000)], [t("Tokens"), t("{in} in, {out} out", { in: number(line.tokens_in), out: number(line.tokens_out) })], [t("Error"), line.error ? errorWord(line.error) : null], [t("Reason"), line.reason]];
  return h("details", { class: "line" },
    h("summary", {},
      h("span", { class: "mono" }, clock(line.t)), h("span", { class: `tag ${tone(line)}` }, line.status), h("span", { class: "line-what" }, line.model || line.path, line.served && line.served !== line.model ? h("span", { class: "muted" }, ` → ${line.served}`) : null),
      h("span", { class: "line-key muted" }, line.key), h("span", { class: "line-error" }, line.error ? errorWord(line.error) : ""), h("span", { class: "num" }, duration(line.ms / 1000))),
    h("dl", { class: "rows" }, about.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
};

/** The view. */
export default (root) => {
  const lines = new Map(); // id -> [line, element]
  let live = true;
  let waiting = [];
  const list = h("div", { class: "card lines", role: "log", "aria-live": "off", "aria-label": t("Logs") });
  const empty = h("p", { class: "empty" }, t("No request yet."));
  const count = h("p", { class: "muted" });
  const select = (name, options) => {
    const made = h("select", { "aria-label": name, onchange: () => { chosen[made.dataset.of] = made.value; sift(); } }, Object.entries(options).map(([value, label]) => h("option", { value }, label)));
    return made;
  };
  const outcome = select(t("Outcome"), OUTCOMES()), model = select(t("Model"), { "": t("every model") }), key = select(t("Key"), { "": t("every key") });
  outcome.dataset.of = "outcome"; model.dataset.of = "model"; key.dataset.of = "key";
  outcome.value = chosen.outcome;
  const word = h("input", { type: "search", placeholder: t("Request id, account, reason…"), "aria-label": t("Filter"), value: chosen.word, oninput: () => { chosen.word = word.value; sift(); } });
  const learn = (control, value) => { if (value && ![...control.options].some((option) => option.value === value) && control.options.length < 100) control.append(h("option", { value }, value)); };
  const matches = (line) => fits[chosen.outcome](line) && (!chosen.model || line.model === chosen.model) && (!chosen.key || line.key === chosen.key) &&
    (!chosen.word || JSON.stringify(line).toLowerCase().includes(chosen.word.toLowerCase()));
  const sift = () => {
    let shown = 0;
    for (const [line, element] of lines.values()) { element.hidden = !matches(line); shown += !element.hidden; }
    count.textContent = t("{shown} of {all} requests", { shown: number(shown), all: number(lines.size) });
    empty.hidden = shown > 0;
  };
  const take = (some) => {
    for (const line of some) {
      if (lines.has(line.id)) continue;
      const element = row(line);
      lines.set(line.id, [line, element]);
      list.prepend(element);
      learn(model, line.model);
      learn(key, line.key);
    }
    for (const [id, [, element]] of lines) { if (lines.size <= MOST) break; element.remove(); lines.delete(id); }
    sift();
  };
  const pause = button(t("Pause"), () => {
    live = !live;
    pause.querySelector("span").textContent = live ? t("Pause") : t("Go on");
    if (live) { take(waiting); waiting = []; }
  }, {});
  root.append(h("div", { class: "bar" }, word, outcome, model, key, h("span", { class: "grow" }), count, pause), empty, list);
  sift();
  return follow({ log: (some) => { if (live) take(some); else waiting = [...waiting, ...some].slice(-MOST); } });
};
