// Whether the gateway serves, what the last hour was like, and what needs a hand.
import { h, icon, button, copy } from "../dom.js";
import { follow } from "../api.js";
import { t, number, seconds, ago, span, stateWord, errorWord } from "../words.js";
import { chart, grouped } from "../charts.js";

const BY = 2; // two steps of 30 s make a point of a minute

const column = (buckets, index) => buckets.map((bucket) => bucket[index]);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const median = (values) => {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  return known.length ? known[Math.floor(known.length / 2)] : null;
};

const charts = () => {
  const requests = chart({ title: t("Requests"), stacked: true, format: number });
  const errors = chart({ title: t("Errors"), stacked: true, format: number });
  const first = chart({ title: t("Time to first byte"), format: seconds });
  const tokens = chart({ title: t("Tokens"), stacked: true, format: number });
  const update = ({ step_s, ends, buckets }) => {
    const [asked, wrong, into, out] = [0, 1, 2, 3].map((index) => grouped(column(buckets, index), BY));
    const [p50, p95] = [4, 5].map((index) => grouped(column(buckets, index), BY, true));
    const base = { step: step_s * BY, ends };
    const total = sum(asked), failed = sum(wrong);
    requests.update({ ...base, figure: number(total), caption: t("in the last hour"), note: t("{n} in the last minute", { n: number(sum(column(buckets, 0).slice(-2))) }),
      series: [{ name: t("requests"), values: asked, kind: "a" }] });
    errors.update({ ...base, figure: number(failed), caption: total ? t("of {n}: {share} %", { n: number(total), share: ((100 * failed) / total).toFixed(1) }) : t("in the last hour"), note: failed ? t("refusals and callers who left count too") : t("none"),
      series: [{ name: t("errors"), values: wrong, kind: "bad" }] });
    const middle = median(column(buckets, 4));
    first.update({ ...base, figure: middle === null ? "–" : seconds(middle), caption: t("in the median"), note: t("line: median, thin line: 95 of 100"),
      series: [{ name: t("median"), values: p50, kind: "a" }, { name: t("95 of 100"), values: p95, kind: "b" }] });
    tokens.update({ ...base, figure: number(sum(into) + sum(out)), caption: t("in the last hour"), note: t("{in} in, {out} out (estimated)", { in: number(sum(into)), out: number(sum(out)) }),
      series: [{ name: t("in"), values: into, kind: "a" }, { name: t("out"), values: out, kind: "b" }] });
  };
  return { element: h("div", { class: "charts" }, [requests, errors, first, tokens].map(({ element }) => element)), update };
};

const status = (now) => {
  const kind = now.serving ? "good" : "bad";
  const facts = [
    [t("In flight"), number(now.in_flight)], [t("Queue"), number(now.queued)],
    [t("Up for"), span(now.uptime_s)], [t("Version"), now.version],
  ];
  return [
    h("div", { class: `status ${kind}` },
      h("span", { class: "status-mark" }, icon(now.serving ? "ready" : "expired")),
      h("div", {},
        h("p", { class: "status-word", role: "status" }, now.serving ? t("Ready to serve") : t("Not serving")),
        h("p", { class: "status-why" }, now.serving
          ? t("{ready} of {all} accounts are ready", { ready: number(now.states.ready ?? 0), all: number(now.accounts.length) })
          : now.needs.length ? t("No account can serve a call now.") : now.reason))),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
  ];
};

const MOST_NEEDS = 6;
const needs = (found) => [
  ...found.slice(0, MOST_NEEDS).map(({ name, state, reason }) => h("li", {}, h("a", { href: "#/accounts", class: `need state-${state}` },
    icon(state), h("strong", {}, name), h("span", {}, stateWord(state)), h("span", { class: "muted" }, reason)))),
  found.length > MOST_NEEDS ? h("li", { class: "muted small" }, t("and {n} more", { n: number(found.length - MOST_NEEDS) })) : "",
];

const strip = (accounts) => accounts.length
  ? h("ul", { class: `strip ${accounts.length > 24 ? "dense" : ""}` }, accounts.map(({ name, state, reason, tier }) =>
    h("li", {}, h("a", { href: "#/accounts", class: `chip state-${state}`, title: `${name}: ${stateWord(state)}${reason ? `, ${reason}` : ""}` },
      icon(state), h("span", { class: "chip-name" }, name), h("span", { class: "chip-word" }, stateWord(state)), tier ? h("span", { class: "tier" }, tier) : null))))
  : h("p", { class: "empty" }, t("No account yet."), " ", h("a", { href: "#/accounts" }, t("Add the first one")));

const failure = (line) => h("li", { class: "failure" },
  h("span", { class: "failure-mark" }, icon("warn")),
  h("div", {},
    h("p", {}, h("strong", {}, errorWord(line.error)), line.reason ? ` — ${line.reason}` : ""),
    h("p", { class: "muted small" }, [ago(line.t), line.status, line.key, line.model, line.account].filter(Boolean).join(" · "), " · ",
      h("button", { type: "button", class: "link mono", title: t("Copy the request id"), onclick: () => copy(line.id, t("Copied")) }, line.id))));

const bases = () => h("dl", { class: "bases" }, [["OpenAI", "/v1"], ["Gemini", "/gemini"], ["Anthropic", ""]].map(([name, path]) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, location.origin + path),
    button(t("Copy"), () => copy(location.origin + path, t("Copied")), { glyph: "copy", kind: "quiet small", iconOnly: true })))));

/** The view. */
export default (root) => {
  const banner = h("p", { class: "notice simulated", hidden: true }, icon("warn"), h("span", {}, t("Answers are SIMULATED by an offline site: nothing here comes from Google.")));
  const lost = h("p", { class: "notice bad", hidden: true, role: "status" }, t("The connection is lost; trying again."));
  const worker = h("p", { class: "notice", hidden: true });
  const hero = h("section", { class: "card hero" });
  const need = h("ul", { class: "needs" });
  const graphs = charts();
  const accounts = h("div", {});
  const failures = h("ul", { class: "failures" });
  const plugins = h("p", { class: "tags" });
  root.append(banner, lost, worker, h("div", { class: "stack" }, hero, need), graphs.element,
    h("section", { class: "card" }, h("h2", {}, t("Accounts")), accounts),
    h("div", { class: "columns" },
      h("section", { class: "card" }, h("h2", {}, t("Recent errors")), failures),
      h("div", { class: "stack" },
        h("section", { class: "card" }, h("h2", {}, t("Point a client here")), bases()),
        h("section", { class: "card" }, h("h2", {}, t("Plugins")), plugins))));
  const seen = {};
  const ifNew = (name, value, update) => {
    const text = JSON.stringify(value);
    if (seen[name] !== text) { seen[name] = text; update(value); }
  };
  return follow({
    overview: (now) => {
      banner.hidden = !now.simulated;
      ifNew("hero", [now.serving, now.reason, now.in_flight, now.queued, Math.floor(now.uptime_s / 5), now.states], () => hero.replaceChildren(...status(now)));
      worker.hidden = !now.worker;
      if (now.worker) worker.textContent = t("This page shows worker {number} of {of}: requests, log and keys' use are those that it served. /metrics has all of them together.", now.worker);
      ifNew("needs", now.needs, (found) => { need.hidden = !found.length; need.replaceChildren(...needs(found)); });
      ifNew("hour", now.hour, graphs.update);
      ifNew("accounts", now.accounts, () => accounts.replaceChildren(strip(now.accounts)));
      ifNew("failures", [now.failures, Math.floor(Date.now() / 20000)], () => failures.replaceChildren(...(now.failures.length ? now.failures.slice(0, 8).map(failure) : [h("li", { class: "empty" }, t("None since the start."))])));
      ifNew("plugins", now.plugins, () => plugins.replaceChildren(...now.plugins.map((name) => h("span", { class: "tag" }, name))));
    },
  }, (up) => { lost.hidden = up; });
};
