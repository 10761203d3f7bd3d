// The accounts: how each one is, what it has left, and everything that can be done about it.
import { h, icon, button, field, toast, dialog } from "../dom.js";
import { api, follow } from "../api.js";
import { t, number, ago, span, stateWord } from "../words.js";

const WINDOWS = () => ({ "5h": t("5-hour window"), five_hours: t("5-hour window"), week: t("Weekly window"), weekly: t("Weekly window") });
const FORMS = () => t("Taken are: a Cookie header, a cURL command, a cookies.txt, a browser extension's JSON, lines of .env, or the bare values.");

const busy = async (control, work) => {
  const focused = document.activeElement === control;
  control.disabled = true;
  control.classList.add("busy");
  try { return await work(); } catch (error) { toast(error.message, "bad"); return null; } finally {
    control.disabled = false;
    control.classList.remove("busy");
    if (focused && document.activeElement === document.body) control.focus(); // what is disabled loses it
  }
};

const act = (name, action, said) => async (event) => busy(event.currentTarget, async () => {
  const answer = await api(`/api/accounts/${encodeURIComponent(name)}/${action}`, { method: "POST" });
  toast(answer.message ?? said(answer), answer.ok === false ? "bad" : "good");
});

const pasteForm = (close, { name, bulk }) => {
  const area = h("textarea", { name: "paste", rows: bulk ? 12 : 7, required: true, spellcheck: "false", autocomplete: "off", class: "mono", placeholder: bulk ? '[{"name": "one", "SECURE_1PSID": "g.a…", "SECURE_1PSIDTS": "sidts-…"}, …]' : "__Secure-1PSID=g.a…; __Secure-1PSIDTS=sidts-…" });
  const label = h("input", { name: "name", pattern: "[A-Za-z0-9._@+\\-]{1,64}", autocomplete: "off" });
  const proxy = h("input", { name: "proxy", placeholder: "http://user:password@host:port", autocomplete: "off" });
  const problem = h("div", { class: "problem", role: "alert" });
  const send = button(name ? t("Replace the cookies") : bulk ? t("Add them all") : t("Add the account"), null, { kind: "primary", type: "submit" });
  const tell = (accounts) => problem.replaceChildren(h("ul", {}, accounts.map((one) => h("li", {}, `${one.name ?? "?"}: ${one.error?.message ?? one.message}`))));
  const submit = async (event) => {
    event.preventDefault();
    problem.replaceChildren(h("p", { class: "muted" }, t("Signing in with these cookies…")));
    send.disabled = true;
    try {
      const body = { paste: area.value };
      if (name ?? label.value) body.name = name ?? label.value;
      if (proxy.value) body.proxy = proxy.value;
      const answer = name ? await api(`/api/accounts/${encodeURIComponent(name)}`, { method: "PATCH", body: { paste: area.value } })
        : bulk ? await api("/api/cookies", { method: "POST", body })
        : await api("/api/accounts", { method: "POST", body });
      if (answer.accounts?.some((one) => one.error)) return tell(answer.accounts);
      toast(answer.message ?? (name ? t("{name} has new cookies", { name }) : t("{name} was added", { name: answer.account?.name ?? "" })), "good");
      close(true);
    } catch (error) {
      if (error.body?.accounts) tell(error.body.accounts);
      else problem.replaceChildren(h("p", {}, error.message));
    } finally { send.disabled = false; }
  };
  return h("form", { onsubmit: submit },
    field(t("Cookies of gemini.google.com"), area, bulk ? t("A JSON list: one object for each account.") : FORMS()),
    name || bulk ? null : h("div", { class: "row" }, field(t("Name (optional)"), label), field(t("Proxy (optional)"), proxy)),
    problem, h("div", { class: "actions" }, button(t("Cancel"), () => close(), { kind: "quiet" }), send));
};

const remove = async (name) => {
  const sure = await dialog(t("Delete {name}?", { name }), (close) => [
    h("p", {}, t("Its cookies are forgotten. Calls that run on it end first.")),
    h("div", { class: "actions" }, button(t("Cancel"), () => close(), { kind: "quiet" }), button(t("Delete"), () => close(true), { kind: "danger" }))]);
  if (!sure) return;
  try {
    const { note } = await api(`/api/accounts/${encodeURIComponent(name)}`, { method: "DELETE" });
    toast([t("{name} was deleted", { name }), note].filter(Boolean).join(": "), "good");
  } catch (error) { toast(error.message, "bad"); }
};

const meter = ({ name, used, resets_at }) => {
  const share = Math.round(used * 100);
  const label = WINDOWS()[name] ?? name;
  return h("div", { class: "meter" },
    h("p", {}, h("span", {}, label), h("span", { class: "muted" }, `${share} %`, resets_at ? ` · ${t("resets in {time}", { time: span(resets_at - Date.now() / 1000) })}` : "")),
    h("div", { class: "meter-bar", role: "meter", "aria-label": label, "aria-valuenow": share, "aria-valuemin": 0, "aria-valuemax": 100 },
      h("div", { class: `meter-fill ${share >= 90 ? "bad" : share >= 70 ? "warn" : ""}`, style: { width: `${Math.min(share, 100)}%` } })));
};

const facts = (account) => {
  const now = Date.now() / 1000;
  const rows = [[t("In flight"), `${number(account.in_flight)} / ${number(account.max_concurrency)}`]];
  rows.push([t("Calls"), account.failures ? t("{n}, {failed} failed", { n: number(account.calls), failed: number(account.failures) }) : number(account.calls)]);
  rows.push([t("Last success"), account.last_success ? ago(account.last_success) : "–"]);
  rows.push([t("Egress"), account.egress]);
  if (account.cookies_entered) rows.push([t("Cookies brought"), ago(account.cookies_entered)]);
  if (account.cookies_renewed) rows.push([t("Cookies renewed"), ago(account.cookies_renewed)]);
  if (account.attention_by) rows.push([t("New cookies needed"), account.attention_by > now ? t("in about {time}", { time: span(account.attention_by - now) }) : t("now")]);
  if (account.cooldown_until > now) rows.push([t("Serves again"), t("in {time}", { time: span(account.cooldown_until - now) })]);
  for (const [model, until] of Object.entries(account.model_cooldowns ?? {})) if (until > now) rows.push([model, t("again in {time}", { time: span(until - now) })]);
  return rows;
};

/** Rows of a dl, put in place: where only figures changed, only those are touched. */
const fill = (list, rows) => {
  const same = list.children.length === rows.length && rows.every(([label], i) => list.children[i].firstChild.textContent === label);
  if (!same) return list.replaceChildren(...rows.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
  rows.forEach(([, value], i) => { const shown = list.children[i].lastChild; if (shown.textContent !== value) shown.textContent = value; });
};

/** What a card looks like but for its figures, as one text. */
const lookOf = ({ name, state, reason, flag, tier, usage, models, source }) => JSON.stringify([name, state, reason, flag, tier, usage, models, source]);

const card = (account) => {
  const { name, state } = account;
  const paused = state === "disabled";
  const own = account.source !== "guest";
  return h("article", { class: `card account state-${state}`, "aria-label": name },
    h("header", {}, h("span", { class: "state-mark" }, icon(state)),
      h("div", {}, h("h2", {}, name), h("p", { class: "state-word" }, stateWord(state))),
      account.tier ? h("span", { class: "tier" }, account.tier) : null),
    account.reason ? h("p", { class: "reason" }, account.reason) : null,
    account.flag ? h("p", { class: "reason warn" }, account.flag) : null,
    (account.usage ?? []).map(meter),
    h("dl", { class: "rows" }),
    account.models.length ? h("details", {}, h("summary", {}, t("{n} models", { n: account.models.length })), h("p", { class: "tags" }, account.models.map((model) => h("span", { class: "tag" }, model)))) : null,
    h("footer", {},
      button(t("Test"), act(name, "test", (answer) => answer.ok ? t("{name} is signed in", { name }) : `${name}: ${answer.account.reason || stateWord(answer.account.state)}`), { disabled: paused, kind: "small" }),
      own ? button(t("Rotate"), act(name, "rotate", () => t("Done")), { disabled: paused, kind: "small" }) : null,
      own ? button(t("Cookies"), () => dialog(t("New cookies for {name}", { name }), (close) => pasteForm(close, { name })), { kind: "small", title: t("Replace the cookies") }) : null,
      own ? button(paused ? t("Resume") : t("Pause"), act(name, paused ? "enable" : "disable", () => paused ? t("{name} serves again", { name }) : t("{name} is paused", { name })), { kind: "small" }) : null,
      own ? button(t("Delete {name}", { name }), () => remove(name), { glyph: "trash", kind: "small quiet", iconOnly: true }) : null));
};

/** The view. */
export default (root) => {
  const cards = h("div", { class: "cards" });
  const empty = h("div", { class: "card empty-big", hidden: true }, h("h2", {}, t("No account yet")),
    h("p", {}, t("Sign in at gemini.google.com in a private window, copy its cookies, paste them here, close the window without signing out.")));
  const filter = h("input", { type: "search", placeholder: t("Filter by name, state or tier"), "aria-label": t("Filter"), oninput: () => sift() });
  const count = h("p", { class: "muted" });
  const known = new Map(); // name -> [what it looked like, its card, what can be searched]
  const sift = () => {
    const word = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const [, element, text] of known.values()) { element.hidden = word !== "" && !text.includes(word); shown += !element.hidden; }
    count.textContent = known.size ? t("{n} accounts", { n: number(shown) }) : "";
  };
  const update = (accounts) => {
    const names = new Set(accounts.map(({ name }) => name));
    for (const [name, [, element]] of known) if (!names.has(name)) { element.remove(); known.delete(name); }
    const minute = Math.floor(Date.now() / 60000);
    for (const account of accounts) {
      const look = lookOf(account) + (account.usage?.length ? minute : "");
      const before = known.get(account.name);
      if (before?.[0] === look || before?.[1].querySelector(".busy")) {
        fill(before[1].querySelector(".rows"), facts(account));
        continue;
      }
      const made = card(account);
      fill(made.querySelector(".rows"), facts(account));
      if (before) {
        made.querySelector("details")?.toggleAttribute("open", before[1].querySelector("details")?.open ?? false);
        const focused = [...before[1].querySelectorAll("button")].indexOf(document.activeElement);
        before[1].replaceWith(made);
        if (focused >= 0) made.querySelectorAll("button")[focused]?.focus();
      } else cards.append(made);
      known.set(account.name, [look, made, `${account.name} ${account.state} ${stateWord(account.state)} ${account.tier}`.toLowerCase()]);
    }
    empty.hidden = accounts.length > 0;
    sift();
  };
  root.append(
    h("div", { class: "bar" }, filter, count, h("span", { class: "grow" }),
      button(t("Paste several"), () => dialog(t("Add several accounts"), (close) => pasteForm(close, { bulk: true }), { wide: true }), {}),
      button(t("Add an account"), () => dialog(t("Add an account"), (close) => pasteForm(close, {})), { glyph: "plus", kind: "primary" })),
    empty, cards);
  return follow({ accounts: update });
};
