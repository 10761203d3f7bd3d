// The pictures of the playground: make, change, compare with and without the star, download.
import { h, icon, button, field, remembered, toast } from "./dom.js";
import { api } from "./api.js";
import { t, bytes, seconds } from "./words.js";
import { tray } from "./attachments.js";
import { pictureSnippets, showSnippets } from "./snippets.js";

const SIZES = ["auto", "1024x1024", "1536x1024", "1024x1536", "2K", "4K"];
const WATERMARK = () => ({ removed: t("star removed"), absent: t("no star found"), kept: t("star kept") });

const blobOf = async (datum) => {
  if (!datum.b64_json) return null;
  const binary = atob(datum.b64_json);
  const data = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  return new Blob([data], { type: `image/${/^(png|jpeg|webp)$/.exec(datum.gateway?.format ?? "")?.[1] ?? "png"}` });
};

/** What a picture looks like, in a few numbers: to find its original among several. */
const look = async (blob) => {
  const bitmap = await createImageBitmap(blob, { resizeWidth: 16, resizeHeight: 16 });
  const context = new OffscreenCanvas(16, 16).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, 16, 16).data;
};
const apart = (one, other) => one.reduce((sum, value, i) => sum + Math.abs(value - other[i]), 0);

/** The picture as it came, before the star was taken off; null when it is not kept. */
const originalOf = async (blob, requestId, count) => {
  const found = [];
  for (let i = 0; i < count; i++) {
    const response = await api(`/api/originals/${requestId}/${i}`, { raw: true });
    found.push(await response.blob());
  }
  if (found.length < 2) return found[0] ?? null;
  const wanted = await look(blob);
  const distances = await Promise.all(found.map(async (one) => apart(wanted, await look(one))));
  return found[distances.indexOf(Math.min(...distances))];
};

/** Two pictures over each other, and a slider between them. */
const slider = (before, after, alt) => {
  const top = h("img", { src: before, alt: "", class: "before" });
  const range = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": t("Before and after") });
  const box = h("div", { class: "slider" }, h("img", { src: after, alt }), top, h("span", { class: "slider-line" }), range,
    h("span", { class: "slider-label left" }, t("before")), h("span", { class: "slider-label right" }, t("after")));
  const move = () => box.style.setProperty("--at", `${range.value}%`);
  range.addEventListener("input", move);
  move();
  return box;
};

const factsOf = ({ width, height, format, native, watermark, warnings }, blob) => [
  width && height ? `${width} × ${height}` : null, format ? String(format).toUpperCase().replace("IMAGE/", "") : null, blob ? bytes(blob.size) : null,
  native === false ? t("upscaled here") : native ? t("native") : null, WATERMARK()[watermark] ?? null, ...(warnings ?? [])].filter(Boolean).join(" · ");

const result = async (datum, { number, requestId, count, alt, use }) => {
  const blob = await blobOf(datum);
  const url = blob ? URL.createObjectURL(blob) : datum.url;
  const extension = blob ? blob.type.slice(6).replace("jpeg", "jpg") : "png";
  const stage = h("div", { class: "stage" }, h("img", { src: url, alt }));
  const compare = async (event) => {
    event.currentTarget.disabled = true;
    try {
      const original = await originalOf(blob, requestId, count);
      stage.replaceChildren(slider(URL.createObjectURL(original), url, alt));
      stage.querySelector("input").focus();
    } catch (error) { toast(error.message, "bad"); }
  };
  return h("figure", { class: "card picture" }, stage,
    h("figcaption", {}, h("p", { class: "small" }, factsOf(datum.gateway ?? {}, blob)),
      h("div", { class: "message-tools" },
        h("a", { class: "button small", href: url, download: `picture-${number + 1}.${extension}` }, icon("download"), h("span", {}, t("Download"))),
        blob && datum.gateway?.watermark === "removed" ? button(t("Before and after"), compare, { kind: "small" }) : null,
        blob ? button(t("Change it"), () => use(blob, `picture-${number + 1}.${extension}`), { glyph: "pencil", kind: "small" }) : null)));
};

const dataUrl = (blob) => new Promise((resolve) => { const reader = new FileReader(); reader.onload = () => resolve(reader.result); reader.readAsDataURL(blob); });

/** The tab. `kept` outlives it. */
export const pictures = (root, models, kept) => {
  kept.results ??= h("div", { class: "pictures", "aria-live": "polite" });
  const choices = models.filter((id) => /image/.test(id));
  const model = h("select", { onchange: () => remembered.set("picture-model", model.value) }, (choices.length ? choices : models).map((id) => h("option", { value: id }, id)));
  const wanted = remembered.get("picture-model", "");
  if (choices.includes(wanted)) model.value = wanted;
  const size = h("select", {}, SIZES.map((name) => h("option", { value: name }, name === "auto" ? t("as the model likes") : name)));
  const count = h("select", {}, [1, 2, 3, 4].map((n) => h("option", { value: n }, n)));
  const prompt = h("textarea", { rows: 3, required: true, placeholder: t("A red fox in the snow, morning light"), value: kept.draft ?? "" });
  const form = h("form", { class: "card picture-form" });
  const files = tray(form, { accept: "image/*", only: "image/" });
  const problem = h("div", { role: "alert" });
  const note = h("p", { class: "muted small", role: "status" });
  const send = button(t("Generate"), null, { glyph: "image", kind: "primary", type: "submit" });
  const stop = button(t("Stop"), () => kept.running?.abort(), { glyph: "stop", kind: "danger" });
  const ready = () => { send.hidden = !!kept.running; stop.hidden = !kept.running; kept.results.classList.toggle("busy", !!kept.running); };
  kept.ready = ready;
  const call = () => {
    const body = { model: model.value, prompt: prompt.value, n: Number(count.value), ...(size.value === "auto" ? {} : { size: size.value }), response_format: "b64_json" };
    return files.files.length ? ["/v1/images/edits", { ...body, images: files.files.map(({ url }) => ({ image_url: url })) }] : ["/v1/images/generations", body];
  };
  const use = async (blob, name) => { files.put({ name, size: blob.size, type: blob.type, url: await dataUrl(blob) }); prompt.focus(); prompt.select(); scrollTo({ top: 0, behavior: "smooth" }); };
  const submit = async (event) => {
    event.preventDefault();
    if (kept.running) return;
    problem.replaceChildren();
    note.textContent = t("Pictures take a while…");
    kept.running = new AbortController();
    ready();
    const begun = performance.now();
    try {
      const [path, body] = call();
      const response = await api(path, { method: "POST", body, signal: kept.running.signal, raw: true });
      const requestId = response.headers.get("x-request-id");
      const reply = await response.json();
      const about = { requestId, count: reply.data.length, alt: body.prompt, use };
      const made = await Promise.all(reply.data.map((datum, number) => result(datum, { ...about, number })));
      kept.results.prepend(...made);
      note.textContent = [response.headers.get("x-gateway-model"), t("{time} in all", { time: seconds((performance.now() - begun) / 1000) }), ...(reply.warnings ?? []), requestId].filter(Boolean).join(" · ");
    } catch (error) {
      note.textContent = error.name === "AbortError" ? t("stopped") : "";
      if (error.name !== "AbortError") problem.replaceChildren(h("p", { class: "notice bad" }, error.message, error.requestId ? h("span", { class: "mono small" }, ` ${error.requestId}`) : null));
    }
    kept.running = null;
    kept.ready?.();
  };
  form.addEventListener("submit", submit);
  form.append(field(t("What to make, or what to change"), prompt), files.elements[0],
    h("div", { class: "row" }, field(t("Model"), model), field(t("Size"), size), field(t("How many"), count)),
    h("p", { class: "hint drop" }, icon("image"), h("span", {}, t("Drop or paste reference pictures here to change them."))),
    problem, note,
    h("div", { class: "actions" }, button(t("Reference pictures"), files.choose, { glyph: "clip", kind: "quiet" }), files.elements[1],
      button(t("Show as code"), () => { const [path, body] = call(); showSnippets(pictureSnippets(path, body, files.files.map(({ name }) => name))); }, { glyph: "code", kind: "quiet" }), send, stop));
  root.append(form, kept.results);
  ready();
  return () => { kept.draft = prompt.value; };
};
