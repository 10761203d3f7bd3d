// The chat of the playground: a stream that can be stopped, thoughts folded away, figures under each answer.
import { h, icon, button, field, toast, copy, remembered } from "./dom.js";
import { api, ApiError } from "./api.js";
import { t, number, seconds } from "./words.js";
import { markdown } from "./markdown.js";
import { tray } from "./attachments.js";
import { chatSnippets, showSnippets } from "./snippets.js";

const EFFORTS = ["none", "low", "medium", "high"];

/** The data lines of a stream of server-sent events, parsed. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ")) continue;
      if (line === "data: [DONE]") return;
      yield JSON.parse(line.slice(6));
    }
  }
}

const content = (text, files) => files.length === 0 ? text : [
  ...(text ? [{ type: "text", text }] : []),
  ...files.map(({ name, type, url }) => type.startsWith("image/") ? { type: "image_url", image_url: { url }, name } : { type: "file", file: { filename: name, file_data: url } })];

const sent = (body) => ({ ...body, messages: body.messages.map(({ role, content: parts }) => ({ role, content: typeof parts === "string" ? parts : parts.map(({ name, ...part }) => part) })) });

/** An answer that grows: drawn as often as drawing is cheap. */
const answer = () => {
  const thoughts = h("div", { class: "thoughts-text" });
  const folded = h("details", { class: "thoughts", hidden: true }, h("summary", {}, t("Thoughts")), thoughts);
  const text = h("div", { class: "prose" });
  const figures = h("p", { class: "figures muted small" });
  const tools = h("div", { class: "message-tools" });
  const element = h("article", { class: "message from-model", "aria-label": t("Answer") }, folded, text, figures, tools);
  const state = { text: "", thoughts: "" };
  let due = 0, pause = 40;
  const draw = () => {
    due = 0;
    const begun = performance.now();
    text.replaceChildren(...markdown(state.text));
    thoughts.textContent = state.thoughts;
    folded.hidden = !state.thoughts;
    pause = Math.min(1000, Math.max(40, (performance.now() - begun) * 5));
    element.dispatchEvent(new Event("grown", { bubbles: true }));
  };
  const soon = () => { due ||= setTimeout(draw, pause); };
  return { element, state, figures, tools, soon, now: () => { clearTimeout(due); draw(); } };
};

const figuresOf = ({ begun, first, ended, usage, model, requestId, stopped }) => [
  model, first ? t("first word after {time}", { time: seconds((first - begun) / 1000) }) : null, t("{time} in all", { time: seconds((ended - begun) / 1000) }),
  usage ? t("{in} tokens in, {out} out", { in: number(usage.prompt_tokens), out: number(usage.completion_tokens) }) : null,
  stopped ? t("stopped") : null, requestId].filter(Boolean).join(" · ");

/** Ask, and let `shown` grow. Resolves when the answer has ended. */
const ask = async (body, shown, signal) => {
  const run = { begun: performance.now(), first: null, model: null, usage: null, stopped: false };
  try {
    const response = await api("/v1/chat/completions", { method: "POST", body: sent(body), signal, raw: true });
    run.requestId = response.headers.get("x-request-id");
    run.model = response.headers.get("x-gateway-model");
    for await (const event of events(response)) {
      if (event.error) throw new ApiError(200, event, run.requestId);
      run.model = event.model ?? run.model;
      run.usage = event.usage ?? run.usage;
      const delta = event.choices?.[0]?.delta;
      if (!delta?.content && !delta?.reasoning_content) continue;
      run.first ??= performance.now();
      shown.state.text += delta.content ?? "";
      shown.state.thoughts += delta.reasoning_content ?? "";
      shown.soon();
    }
  } catch (error) {
    if (error.name === "AbortError") run.stopped = true;
    else {
      shown.element.classList.add("failed");
      shown.element.append(h("p", { class: "notice bad", role: "alert" }, error.message, error.requestId ? h("span", { class: "mono small" }, ` ${error.requestId}`) : null));
    }
  }
  run.ended = performance.now();
  shown.now();
  shown.figures.textContent = figuresOf(run);
};

const fromPerson = (text, files) => h("article", { class: "message from-person", "aria-label": t("You") },
  files.length ? h("ul", { class: "tray" }, files.map(({ name, type, url }) => h("li", {}, type.startsWith("image/") ? h("img", { src: url, alt: name }) : icon("docs"), h("span", { class: "tray-name" }, name)))) : null,
  h("p", {}, text));

/** The tab. `kept` outlives it. */
export const chat = (root, models, kept) => {
  kept.messages ??= [];
  kept.log ??= h("div", { class: "messages", role: "log", "aria-live": "off", tabindex: "0", "aria-label": t("Conversation") });
  const model = h("select", { onchange: () => remembered.set("model", model.value) }, models.map((id) => h("option", { value: id }, id)));
  const wanted = remembered.get("model", models.find((id) => /2\.5-flash$/.test(id)));
  if (models.includes(wanted)) model.value = wanted;
  const effort = h("select", {}, EFFORTS.map((name) => h("option", { value: name }, { none: t("off"), low: t("low"), medium: t("medium"), high: t("high") }[name])));
  effort.value = kept.effort ?? "none";
  const system = h("textarea", { rows: 2, value: kept.system ?? "", placeholder: t("How the model should behave") });
  const prompt = h("textarea", { rows: 1, placeholder: t("Ask something. Enter sends, Shift+Enter makes a new line."), "aria-label": t("Message"), value: kept.draft ?? "" });
  const composer = h("form", { class: "composer" });
  const files = tray(composer, {});
  const body = (messages) => ({
    model: model.value, messages: [...(system.value.trim() ? [{ role: "system", content: system.value }] : []), ...messages],
    ...(effort.value === "none" ? {} : { reasoning_effort: effort.value }), stream: true, stream_options: { include_usage: true } });
  const send = button(t("Send"), null, { glyph: "send", kind: "primary round", type: "submit", iconOnly: true });
  const stop = button(t("Stop"), () => kept.running?.abort(), { glyph: "stop", kind: "danger round", iconOnly: true });
  const ready = () => { send.hidden = !!kept.running; stop.hidden = !kept.running; };
  const grow = () => { prompt.style.setProperty("height", "auto"); prompt.style.setProperty("height", `${Math.min(prompt.scrollHeight + 2, 220)}px`); };
  const follow = () => { const box = kept.log; if (box.scrollHeight - box.scrollTop - box.clientHeight < 160) box.scrollTop = box.scrollHeight; };
  const intro = h("div", { class: "intro muted" }, h("p", {}, t("Each message goes through the whole gateway, like that of any client, in your name.")));
  const refresh = () => { intro.hidden = kept.messages.length > 0; };

  const submit = async (event) => {
    event.preventDefault();
    const text = prompt.value.trim();
    if (kept.running || (!text && !files.files.length)) return;
    const attached = [...files.files];
    kept.messages.push({ role: "user", content: content(text, attached) });
    const request = body(kept.messages);
    const shown = answer();
    kept.log.append(fromPerson(text, attached), shown.element);
    shown.element.classList.add("running");
    kept.running = new AbortController();
    prompt.value = "";
    files.clear();
    grow();
    ready();
    refresh();
    kept.log.scrollTop = kept.log.scrollHeight;
    await ask(request, shown, kept.running.signal);
    kept.running = null;
    shown.element.classList.remove("running");
    if (shown.state.text) kept.messages.push({ role: "assistant", content: shown.state.text });
    else kept.messages.pop();
    shown.tools.append(button(t("Copy"), () => copy(shown.state.text, t("Copied")), { glyph: "copy", kind: "quiet small" }),
      button(t("Show as code"), () => showSnippets(chatSnippets(request)), { glyph: "code", kind: "quiet small" }));
    follow();
    kept.ready?.();
  };
  kept.ready = ready;
  composer.addEventListener("submit", submit);
  prompt.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); composer.requestSubmit(); } });
  prompt.addEventListener("input", grow);
  kept.log.addEventListener("grown", follow);
  composer.append(files.elements[0], h("div", { class: "composer-row" },
    button(t("Attach files"), files.choose, { glyph: "clip", kind: "quiet round", iconOnly: true }), files.elements[1], prompt, send, stop));
  const clear = () => { kept.running?.abort(); kept.messages = []; kept.log.replaceChildren(); refresh(); };
  root.append(
    h("div", { class: "bar" }, h("label", { class: "inline" }, t("Model"), model), h("label", { class: "inline" }, t("Thinking"), effort), h("span", { class: "grow" }),
      button(t("Show as code"), () => showSnippets(chatSnippets(body([...kept.messages, ...(prompt.value ? [{ role: "user", content: content(prompt.value, files.files) }] : [])]))), { glyph: "code", kind: "quiet" }),
      button(t("New chat"), clear, { glyph: "plus" })),
    h("details", { class: "system" }, h("summary", {}, t("Instructions")), field(t("System instruction"), system)),
    h("div", { class: "card chat" }, intro, kept.log, composer));
  ready();
  refresh();
  grow();
  kept.log.scrollTop = kept.log.scrollHeight;
  return () => {
    Object.assign(kept, { draft: prompt.value, system: system.value, effort: effort.value });
    kept.log.removeEventListener("grown", follow);
  };
};
