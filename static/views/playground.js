// Try any model: chat in one tab, pictures in the other. Both are remembered while the page is open.
import { h, remembered } from "../dom.js";
import { api } from "../api.js";
import { t } from "../words.js";
import { chat } from "../chat.js";
import { pictures } from "../pictures.js";

const TABS = { chat, pictures };
const kept = {};

/** The view. */
export default async (root) => {
  const { data } = await api("/v1/models");
  const models = data.map(({ id }) => id);
  const body = h("div", { class: "playground" });
  let shown = remembered.get("tab", "chat");
  let leave = () => {};
  const tabs = Object.keys(TABS).map((name) => h("button", { type: "button", role: "tab", class: "tab", "data-tab": name, onclick: () => pick(name) }, { chat: t("Chat"), pictures: t("Pictures") }[name]));
  const pick = (name) => {
    leave();
    shown = name in TABS ? name : "chat";
    remembered.set("tab", shown);
    for (const tab of tabs) tab.setAttribute("aria-selected", String(tab.dataset.tab === shown));
    body.replaceChildren();
    leave = TABS[shown](body, models, (kept[shown] ??= {}));
  };
  root.append(h("div", { class: "tabs", role: "tablist" }, tabs), body);
  pick(shown);
  return () => leave();
};
