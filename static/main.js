// The frame around the views: sign-in, navigation, theme and language. Each view is a module that is fetched when first seen.
import { h, s, icon, button, field, toast, remembered, labels } from "./dom.js";
import { session, signIn, signOut, whenSignedOut, whenChanged, ApiError } from "./api.js";
import { t, language, setLanguage } from "./words.js";

const VIEWS = ["overview", "accounts", "playground", "keys", "plugins", "logs"];
const TITLES = () => ({
  overview: t("Overview"), accounts: t("Accounts"), playground: t("Playground"),
  keys: t("API keys"), plugins: t("Plugins and settings"), logs: t("Logs"),
});
const THEMES = ["auto", "light", "dark"];
const app = document.getElementById("app");
let who = null;
let leave = () => {};
let turn = 0;

const current = () => {
  const name = location.hash.slice(2).split("?")[0];
  return VIEWS.includes(name) ? name : "overview";
};

const applyTheme = (theme) => {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
};

const themeButton = () => {
  const theme = remembered.get("theme", "auto");
  const names = { auto: t("Theme: as the system"), light: t("Theme: light"), dark: t("Theme: dark") };
  return button(names[theme], () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remembered.set("theme", next);
    applyTheme(next);
    frame();
    document.querySelector(".theme")?.focus();
  }, { glyph: { auto: "auto", light: "sun", dark: "moon" }[theme], kind: "quiet theme", iconOnly: true });
};

const languageButton = () => {
  const next = language() === "zh" ? "en" : "zh";
  // Letters that every font has, also where there is none for Chinese.
  const made = button(next === "zh" ? "ZH" : "EN", () => {
    setLanguage(next);
    frame();
    document.querySelector(".language")?.focus();
  }, { kind: "quiet language", title: next === "zh" ? "中文" : "English" });
  made.setAttribute("aria-label", next === "zh" ? "ZH, Chinese" : "EN, English");
  made.setAttribute("lang", "en");
  return made;
};

const brand = () => h("a", { class: "brand", href: "#/overview" },
  s("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" }, s("rect", { width: 32, height: 32, rx: 8 }),
    s("path", { d: "M16 5.5c.9 6 3.6 9.3 10.5 10.5-6.9 1.2-9.6 4.5-10.5 10.5-.9-6-3.6-9.3-10.5-10.5 6.9-1.2 9.6-4.5 10.5-10.500z" })),
  h("span", {}, "Gemini gateway"));

const frame = () => {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  if (!who?.signed_in) return signInPage();
  const titles = TITLES();
  const links = VIEWS.map((name) => h("a", { href: `#/${name}`, "data-view": name }, icon(name), h("span", {}, titles[name])));
  app.replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); document.getElementById("main").focus(); } }, t("To the content")),
    h("header", { class: "side" },
      brand(),
      h("nav", { "aria-label": t("Views") }, links,
        h("a", { href: "/docs", target: "_blank", rel: "noopener" }, icon("docs"), h("span", {}, t("API reference")))),
      h("div", { class: "tools" }, languageButton(), themeButton(),
        who.open ? null : button(t("Sign out"), async () => { await signOut(); who = { signed_in: false }; leave(); frame(); }, { glyph: "exit", kind: "quiet", iconOnly: true }))),
    h("main", { id: "main", tabindex: "-1" }));
  show();
};

const show = async () => {
  if (!who?.signed_in) return;
  leave();
  leave = () => {};
  const mine = ++turn;
  const name = current();
  for (const link of app.querySelectorAll("[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  app.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.title = `${TITLES()[name]} · Gemini gateway`;
  const main = document.getElementById("main");
  const root = h("div", { class: `view view-${name}` }, h("h1", {}, TITLES()[name]));
  main.replaceChildren(root);
  const { default: view } = await import(`./views/${name}.js`);
  if (mine !== turn) return;
  try {
    const ended = await view(root);
    if (mine === turn) leave = ended ?? leave;
    else ended?.();
  } catch (error) {
    if (mine === turn && who?.signed_in) root.append(h("p", { class: "notice bad", role: "alert" }, t("This could not be loaded:"), " ", error.message));
  }
};

const signInPage = () => {
  leave();
  leave = () => {};
  document.title = `${t("Sign in")} · Gemini gateway`;
  const key = h("input", { type: "password", name: "key", autocomplete: "current-password", required: true, autofocus: true });
  const problem = h("p", { class: "problem", role: "alert" });
  const enter = async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      who = await signIn({ key: key.value });
      frame();
    } catch (error) {
      problem.textContent = inWords(error);
      key.select();
    }
  };
  app.replaceChildren(h("main", { class: "sign-in", id: "main" },
    h("form", { class: "card", onsubmit: enter }, brand(), h("h1", {}, t("Sign in")),
      field(t("Admin key"), key, t("It stands in gateway.toml under [admin], or the console showed it at the first start. The console also shows a link that opens this page once without it.")),
      problem, button(t("Sign in"), null, { kind: "primary", type: "submit" })),
    h("div", { class: "tools" }, languageButton(), themeButton())));
  key.focus();
};

const inWords = (error) => {
  if (!(error instanceof ApiError)) return t("The gateway does not answer.");
  return { 401: t("That is not the admin key."), 429: t("Too many attempts. Wait a minute.") }[error.status] ?? error.message;
};

const start = async () => {
  labels.close = () => t("Close");
  applyTheme(remembered.get("theme", "auto"));
  whenSignedOut(() => { if (who?.signed_in) { who = { signed_in: false }; toast(t("The session is over: sign in again.")); frame(); } });
  whenChanged(() => { toast(t("Other settings hold now.")); if (current() !== "playground") show(); });
  const token = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, "", "/");
  try {
    who = await session();
    if (!who.signed_in && token) who = await signIn({ token }).catch((error) => { toast(error.message, "bad"); return who; });
  } catch (error) {
    app.replaceChildren(h("main", { class: "sign-in" }, h("p", { class: "notice bad", role: "alert" }, error instanceof ApiError ? error.message : t("The gateway does not answer."))));
    return;
  }
  addEventListener("hashchange", show);
  frame();
};

start();
