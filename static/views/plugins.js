// Plugins in their order, what they cost, and every setting with where its value came from.
import { h, icon } from "../dom.js";
import { api, follow } from "../api.js";
import { t, number, duration } from "../words.js";

const plain = (value) => value === null || value === "" ? "–" : typeof value === "object" ? JSON.stringify(value, null, 1).replace(/\n\s*/g, " ") : String(value);
const origin = (text) => {
  const kind = text === "default" ? "default" : text.startsWith("environment") || text.startsWith(".env") ? "env" : text === "set at start" ? "start" : "file";
  const words = { default: t("default"), start: t("set at start") };
  return h("span", { class: `tag origin-${kind}` }, words[kind] ?? text);
};

const settingRow = (setting) => h("tr", { "data-text": `${setting.name} ${setting.about}`.toLowerCase() },
  h("th", { scope: "row" }, h("code", {}, setting.name)),
  h("td", {}, h("code", { class: "value" }, plain(setting.value)), setting.origin !== "default" && setting.default !== null && plain(setting.default) !== plain(setting.value) ? h("span", { class: "muted small" }, ` ${t("default")}: ${plain(setting.default)}`) : null),
  h("td", {}, origin(setting.origin)), h("td", { class: "muted" }, setting.about));

const settingsTable = (settings) => h("div", { class: "table-wrap", tabindex: "0" }, h("table", { class: "settings" },
  h("thead", {}, h("tr", {}, [t("Setting"), t("Value"), t("From"), t("What it is")].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, settings.map(settingRow))));

const hookRow = ({ hook, calls, seconds, errors }) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, hook)),
  h("td", { class: "num" }, number(calls)), h("td", { class: "num" }, calls ? duration(seconds / calls) : "–", hook === "wrap_generate" && calls ? h("span", { class: "muted small" }, ` ${t("with the answer inside")}`) : null),
  h("td", { class: "num" }, duration(seconds)), h("td", { class: `num ${errors ? "bad-text" : ""}` }, number(errors)));

const pluginCard = (plugin, position) => {
  const errors = plugin.hooks.reduce((sum, hook) => sum + hook.errors, 0);
  const rows = h("tbody", {}, plugin.hooks.map(hookRow));
  const count = h("span", { class: "muted small" });
  const element = h("li", { class: "card plugin" }, h("details", {},
    h("summary", {}, h("span", { class: "order" }, position), h("span", { class: "plugin-name" }, h("strong", {}, plugin.name), h("span", { class: "muted" }, plugin.about.replaceAll("`", ""))),
      plugin.dormant ? h("span", { class: "tag warn" }, t("dormant: needs settings")) : errors ? h("span", { class: "tag bad" }, icon("warn"), t("{n} errors", { n: number(errors) })) : null, count),
    plugin.hooks.length ? h("div", { class: "table-wrap", tabindex: "0" }, h("table", { class: "hooks" }, h("thead", {}, h("tr", {}, [t("Hook"), t("Calls"), t("Time each"), t("Time in all"), t("Errors")].map((name, i) => h("th", { scope: "col", class: i ? "num" : "" }, name)))), rows)) : null,
    plugin.settings.length ? settingsTable(plugin.settings) : h("p", { class: "muted small" }, t("It has no settings.")),
    h("p", { class: "muted small" }, plugin.source)));
  const update = (now) => {
    rows.replaceChildren(...now.hooks.map(hookRow));
    const calls = now.hooks.reduce((sum, hook) => sum + hook.calls, 0);
    count.textContent = calls ? t("{n} calls of its hooks, {time}", { n: number(calls), time: duration(now.hooks.reduce((sum, hook) => sum + hook.seconds, 0)) }) : "";
  };
  update(plugin);
  return { element, update };
};

/** The view. */
export default async (root) => {
  const [{ plugins }, { sections }] = await Promise.all([api("/api/plugins"), api("/api/settings")]);
  const cards = plugins.map((plugin, i) => pluginCard(plugin, i + 1));
  const filter = h("input", { type: "search", placeholder: t("Filter settings"), "aria-label": t("Filter settings") });
  const changed = h("input", { type: "checkbox" });
  const wide = matchMedia("(min-width: 641px)").matches;
  const blocks = sections.map((section) => ({ section, element: h("details", { class: "card section", open: wide }, h("summary", {}, h("h3", {}, h("code", {}, `[${section.name}]`)), h("span", { class: "muted" }, section.about)), settingsTable(section.settings)) }));
  const sift = () => {
    const word = filter.value.trim().toLowerCase();
    for (const { section, element } of blocks) {
      let shown = 0;
      element.querySelectorAll("tbody tr").forEach((row, i) => {
        row.hidden = (word && !row.dataset.text.includes(word) && !section.name.includes(word)) || (changed.checked && section.settings[i].origin === "default");
        shown += !row.hidden;
      });
      element.hidden = !shown;
      element.open = wide || word !== "" || changed.checked;
    }
  };
  filter.addEventListener("input", sift);
  changed.addEventListener("change", sift);
  root.append(h("h2", {}, t("Plugins, outermost first")), h("ol", { class: "plugins" }, cards.map(({ element }) => element)),
    h("h2", {}, t("Settings in force")), h("div", { class: "bar" }, filter, h("label", { class: "check" }, changed, t("only what is not the default"))), ...blocks.map(({ element }) => element));
  return follow({ plugins: (now) => now.forEach((plugin, i) => cards[i]?.update(plugin)) });
};
