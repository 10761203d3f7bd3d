// The same call for other clients: curl, the official openai package, google-genai. The key stands in an environment variable.
import { h, button, copy, dialog } from "./dom.js";
import { highlighted } from "./markdown.js";
import { t } from "./words.js";

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const py = (value, indent = 0) => {
  const pad = " ".repeat(indent + 4), end = " ".repeat(indent);
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const items = Array.isArray(value) ? value.map((item) => py(item, indent + 4)) : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${py(item, indent + 4)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const flat = `${open}${items.join(", ")}${close}`;
  return flat.length + indent < 96 && !flat.includes("\n") ? flat : `${open}\n${items.map((item) => pad + item).join(",\n")},\n${end}${close}`;
};
// Attachments are long: the calls below name their files instead, and read them.
const shortened = (value) => JSON.parse(JSON.stringify(value, (key, item) => typeof item === "string" && item.startsWith("data:") && item.length > 300 ? `${item.slice(0, item.indexOf(",") + 1)}<base64 of the file>` : item));
const key = "$GATEWAY_API_KEY";

const curl = (path, body) => `curl ${location.origin}${path} \\\n  -H "Authorization: Bearer ${key}" \\\n  -H "Content-Type: application/json" \\\n${body.stream ? "  --no-buffer \\\n" : ""}  -d ${quoted(JSON.stringify(body, null, 2))}`;

const openaiTop = `import os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${location.origin}/v1", api_key=os.environ["GATEWAY_API_KEY"])\n\n`;
const genaiTop = `import os\nfrom google import genai\nfrom google.genai import types\n\nclient = genai.Client(\n    api_key=os.environ["GATEWAY_API_KEY"],\n    http_options=types.HttpOptions(base_url="${location.origin}/gemini"),\n)\n\n`;
const given = (pairs) => pairs.filter(([, value]) => value !== undefined).map(([name, value]) => `    ${name}=${py(value, 4)},\n`).join("");

const openaiChat = ({ model, messages, reasoning_effort, stream, stream_options }) =>
  `${openaiTop}${stream ? "stream" : "reply"} = client.chat.completions.create(\n${given([["model", model], ["messages", messages], ["reasoning_effort", reasoning_effort], ["stream", stream], ["stream_options", stream_options]])})\n` +
  (stream ? `for chunk in stream:\n    if chunk.choices and chunk.choices[0].delta.content:\n        print(chunk.choices[0].delta.content, end="", flush=True)\n` : `print(reply.choices[0].message.content)\n`);

const genaiParts = (content) => typeof content === "string" ? [`types.Part.from_text(text=${JSON.stringify(content)})`]
  : content.map((part) => {
    if (part.type === "text") return `types.Part.from_text(text=${JSON.stringify(part.text)})`;
    const url = part.image_url?.url ?? part.file?.file_data ?? "";
    return `types.Part.from_bytes(data=open(${JSON.stringify(part.name ?? part.file?.filename ?? "file")}, "rb").read(), mime_type=${JSON.stringify(/^data:([^;,]+)/.exec(url)?.[1] ?? "application/octet-stream")})`;
  });

const genaiChat = ({ model, messages, reasoning_effort }) => {
  const system = messages.filter(({ role }) => role === "system").map(({ content }) => content).join("\n");
  const turns = messages.filter(({ role }) => role !== "system").map(({ role, content }) => `        types.Content(role="${role === "assistant" ? "model" : "user"}", parts=[\n${genaiParts(content).map((part) => `            ${part},\n`).join("")}        ]),\n`).join("");
  const config = [system ? `system_instruction=${JSON.stringify(system)}` : null, reasoning_effort && reasoning_effort !== "none" ? "thinking_config=types.ThinkingConfig(include_thoughts=True)" : null].filter(Boolean);
  return `${genaiTop}for chunk in client.models.generate_content_stream(\n    model=${JSON.stringify(model)},\n    contents=[\n${turns}    ],\n${config.length ? `    config=types.GenerateContentConfig(${config.join(", ")}),\n` : ""}):\n    print(chunk.text or "", end="", flush=True)\n`;
};

/** The chat call for each client: [name, language, text]. */
export const chatSnippets = (body) => {
  const short = shortened(body);
  const clean = { ...short, messages: short.messages.map(({ role, content }) => ({ role, content: typeof content === "string" ? content : content.map(({ name, ...part }) => part) })) };
  return [["curl", "sh", curl("/v1/chat/completions", clean)], ["openai-python", "python", openaiChat(clean)], ["google-genai", "python", genaiChat(short)]];
};

const openaiPictures = ({ images, ...body }, names) => {
  const save = `\nfor number, picture in enumerate(reply.data):\n    open(f"picture-{number}.png", "wb").write(base64.b64decode(picture.b64_json))\n`;
  const call = images ? "edit" : "generate";
  const files = images ? `    image=[${names.map((name) => `open(${JSON.stringify(name)}, "rb")`).join(", ")}],\n` : "";
  return `import base64\n${openaiTop}reply = client.images.${call}(\n${files}${given(Object.entries(body))})\n${save}`;
};
const genaiPictures = ({ model, prompt, images }, names) =>
  `${genaiTop}reply = client.models.generate_content(\n    model=${JSON.stringify(model)},\n    contents=[\n${images ? names.map((name) => `        types.Part.from_bytes(data=open(${JSON.stringify(name)}, "rb").read(), mime_type="image/png"),\n`).join("") : ""}        ${JSON.stringify(prompt)},\n    ],\n    config=types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"]),\n)\nfor part in reply.candidates[0].content.parts:\n    if part.inline_data:\n        open("picture.png", "wb").write(part.inline_data.data)\n`;

/** The picture call for each client. */
export const pictureSnippets = (path, body, names) => [
  ["curl", "sh", curl(path, shortened(body))], ["openai-python", "python", openaiPictures(body, names)], ["google-genai", "python", genaiPictures(body, names)]];

/** Show the same call for other clients. */
export const showSnippets = (snippets) => dialog(t("The same call elsewhere"), () => {
  const code = h("code", {}), caption = h("p", { class: "muted small" }, t("Put an API key into the environment variable GATEWAY_API_KEY first."));
  let shown = 0;
  const tabs = snippets.map(([name], index) => h("button", { type: "button", role: "tab", class: "tab", onclick: () => pick(index) }, name));
  const pick = (index) => {
    shown = index;
    tabs.forEach((tab, at) => tab.setAttribute("aria-selected", String(at === index)));
    code.replaceChildren(highlighted(snippets[index][2], snippets[index][1]));
  };
  pick(0);
  return [h("div", { class: "tabs", role: "tablist" }, tabs), h("pre", { class: "snippet", tabindex: "0" }, code),
    h("div", { class: "actions" }, caption, button(t("Copy"), () => copy(snippets[shown][2], t("Copied")), { glyph: "copy", kind: "primary" }))];
}, { wide: true });
