// Files for a call: chosen, dropped or pasted; kept as data URLs, shown with a name that is only ever text.
import { h, icon, button, toast } from "./dom.js";
import { t, bytes } from "./words.js";

const MOST_BYTES = 20_000_000, MOST_FILES = 10;
const read = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

/** A tray of files. `zone` takes drops and pastes; `accept` bounds the chooser. */
export const tray = (zone, { accept = "", only } = {}) => {
  let files = [];
  const shown = h("ul", { class: "tray" });
  const chooser = h("input", { type: "file", multiple: true, accept, class: "offscreen", tabindex: "-1", "aria-hidden": "true", onchange: () => { add([...chooser.files]); chooser.value = ""; } });
  const show = () => {
    shown.hidden = files.length === 0;
    shown.replaceChildren(...files.map((file) => h("li", {},
      file.url.startsWith("data:image/") ? h("img", { src: file.url, alt: "" }) : icon("docs"),
      h("span", { class: "tray-name" }, file.name), h("span", { class: "muted small" }, bytes(file.size)),
      button(t("Remove {name}", { name: file.name }), () => { files = files.filter((other) => other !== file); show(); }, { glyph: "close", kind: "quiet small", iconOnly: true }))));
  };
  const add = async (some) => {
    for (const file of some) {
      if (only && !file.type.startsWith(only)) { toast(t("{name} is not a picture", { name: file.name }), "bad"); continue; }
      if (file.size > MOST_BYTES || files.length >= MOST_FILES) { toast(t("At most {n} files of 20 MB", { n: MOST_FILES }), "bad"); continue; }
      files.push({ name: file.name || "pasted.png", size: file.size, type: file.type, url: await read(file) });
    }
    show();
  };
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("over"); });
  zone.addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); add([...event.dataTransfer.files]); });
  zone.addEventListener("paste", (event) => { const pasted = [...event.clipboardData.files]; if (pasted.length) { event.preventDefault(); add(pasted); } });
  show();
  return {
    elements: [shown, chooser], choose: () => chooser.click(),
    get files() { return files; },
    put(file) { files.push(file); show(); },
    clear() { files = []; show(); },
  };
};
