// API keys: those of gateway.toml to look at, those made here to change and revoke.
import { h, button, field, toast, dialog, copy } from "../dom.js";
import { api } from "../api.js";
import { t, number, ago } from "../words.js";

const RULES = () => ({ per_minute: t("a minute"), per_hour: t("an hour"), per_day: t("a day") });
const names = (text) => { const found = text.split(/[\s,]+/).filter(Boolean); return found.length ? found : null; };

const form = (close, key, save) => {
  const name = h("input", { required: true, pattern: "[A-Za-z0-9._@\\-]{1,64}", autocomplete: "off", value: key?.name ?? "", disabled: !!key });
  const models = h("input", { autocomplete: "off", value: key?.models?.join(", ") ?? "", placeholder: t("all") });
  const accounts = h("input", { autocomplete: "off", value: key?.accounts?.join(", ") ?? "", placeholder: t("all") });
  const limits = Object.fromEntries(Object.keys(RULES()).map((rule) => [rule, h("input", { type: "number", min: 0, step: 1, value: key?.limits[rule] ?? "", placeholder: t("no limit") })]));
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    const rights = { models: names(models.value), accounts: names(accounts.value), limits: Object.fromEntries(Object.entries(limits).filter(([, input]) => input.value).map(([rule, input]) => [rule, Number(input.value)])) };
    try { close(await save(key ? rights : { name: name.value, ...rights })); } catch (error) { problem.textContent = error.message; }
  };
  return h("form", { onsubmit: submit },
    field(t("Name"), name, key ? null : t("Stands in logs and metrics.")),
    field(t("Models"), models, t("Names with commas between; empty for all.")), field(t("Accounts"), accounts, t("Names with commas between; empty for all.")),
    h("div", { class: "row" }, Object.entries(RULES()).map(([rule, word]) => field(t("Calls {span}", { span: word }), limits[rule]))),
    problem, h("div", { class: "actions" }, button(t("Cancel"), () => close(), { kind: "quiet" }), button(key ? t("Save") : t("Make the key"), null, { kind: "primary", type: "submit" })));
};

const shownOnce = ({ name, key }) => dialog(t("The key {name}", { name }), (close) => [
  h("p", {}, t("Copy it now: only its hash is kept, it is not shown again.")),
  h("p", { class: "new-key" }, h("code", {}, key), button(t("Copy"), () => copy(key, t("Copied")), { glyph: "copy", kind: "primary" })),
  h("div", { class: "actions" }, button(t("I have it"), () => close(), {}))]);

const limitsOf = (key) => {
  const entries = Object.entries(key.limits);
  if (!entries.length) return h("span", { class: "muted" }, t("no limit"));
  return h("div", { class: "limits" }, entries.map(([rule, limit]) => {
    const used = key.used[rule] ?? 0, share = Math.min(100, Math.round((100 * used) / limit));
    return h("div", { class: "meter" }, h("p", {}, h("span", {}, `${number(used)} / ${number(limit)}`), h("span", { class: "muted" }, RULES()[rule])),
      h("div", { class: "meter-bar", role: "meter", "aria-label": RULES()[rule], "aria-valuenow": used, "aria-valuemin": 0, "aria-valuemax": limit }, h("div", { class: `meter-fill ${share >= 90 ? "bad" : share >= 70 ? "warn" : ""}`, style: { width: `${share}%` } })));
  }));
};
const allOr = (list) => list === null || list === undefined ? h("span", { class: "muted" }, t("all")) : h("span", { class: "tags" }, list.map((item) => h("span", { class: "tag" }, item)));

/** The view. */
export default async (root) => {
  const body = h("tbody", {});
  const head = [t("Name"), t("Models"), t("Accounts"), t("Limits"), t("Calls"), t("Last used"), ""];
  const cell = (index, ...children) => h("td", { "data-label": head[index] }, h("div", {}, children));
  const change = async (key) => { if (await dialog(t("Limits of {name}", { name: key.name }), (close) => form(close, key, (rights) => api(`/api/keys/${key.id}`, { method: "PATCH", body: rights })))) { toast(t("Saved"), "good"); load(); } };
  const revoke = async (key) => {
    const sure = await dialog(t("Revoke {name}?", { name: key.name }), (close) => [h("p", {}, t("Whoever uses this key is refused from now on, everywhere within two seconds.")),
      h("div", { class: "actions" }, button(t("Cancel"), () => close(), { kind: "quiet" }), button(t("Revoke"), () => close(true), { kind: "danger" }))]);
    if (!sure) return;
    try { await api(`/api/keys/${key.id}`, { method: "DELETE" }); toast(t("{name} is revoked", { name: key.name }), "good"); } catch (error) { toast(error.message, "bad"); }
    load();
  };
  const row = (key) => h("tr", {},
    h("th", { scope: "row" }, h("span", {}, key.name), h("span", { class: "muted small" }, key.id ? `…${key.hint}` : t("in gateway.toml"))),
    cell(1, allOr(key.models)), cell(2, allOr(key.accounts)), cell(3, limitsOf(key)),
    cell(4, number(key.requests), key.errors ? h("span", { class: "muted" }, t(", {n} errors", { n: number(key.errors) })) : null), cell(5, key.last ? ago(key.last) : "–"),
    h("td", { class: "row-actions" }, key.id ? [button(t("Limits"), () => change(key), { kind: "small" }), button(t("Revoke"), () => revoke(key), { kind: "small danger-text" })] : null));
  const load = async () => {
    const { keys } = await api("/api/keys");
    body.replaceChildren(...(keys.length ? keys.map(row) : [h("tr", {}, h("td", { colspan: head.length, class: "empty" }, t("No key yet: on this machine everybody may call. With the first key, calls need one.")))]));
  };
  const make = async () => {
    const made = await dialog(t("A new key"), (close) => form(close, null, (body) => api("/api/keys", { method: "POST", body })));
    if (made) { await load(); await shownOnce(made); }
  };
  root.append(
    h("div", { class: "bar" }, h("p", { class: "muted" }, t("Counted since the start, in this process; limits count everywhere.")), h("span", { class: "grow" }), button(t("A new key"), make, { glyph: "plus", kind: "primary" })),
    h("div", { class: "card table-wrap", tabindex: "0" }, h("table", { class: "keys stacked" }, h("thead", {}, h("tr", {}, head.map((name) => name ? h("th", { scope: "col" }, name) : h("td", {})))), body)));
  await load();
};
