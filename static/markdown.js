// Markdown as elements. What a model writes is text: no markup of its own survives, links go to http(s) only, and pictures are
// shown only when they came with the answer (a picture from elsewhere would tell its owner who reads, and what).
import { h, button, copy } from "./dom.js";
import { t } from "./words.js";

const WORDS = new Set(("abstract and as async await bool boolean break case catch char class const continue def default defer del delete do double elif else end enum " +
  "except export extends false False final finally float fn for from func function global go if impl implements import in instanceof int interface is lambda let " +
  "long match mod module mut namespace new nil None nonlocal not null of or package pass private protected pub public raise return self SELECT FROM WHERE INSERT " +
  "UPDATE DELETE JOIN static str string struct super switch template then this throw trait true True try type typeof undefined union unless until use using val " +
  "var void when where while with yield echo fi done esac").split(" "));
const HASH = /^(py|python|sh|bash|zsh|shell|yaml|yml|toml|ruby|rb|r|dockerfile|makefile|perl|elixir)$/;
const TOKEN = /"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|\/\*[^]*?(?:\*\/|$)|\/\/[^\n]*|#[^\n]*|--[^\n]*|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|`(?:\\.|[^`\\])*`?|\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\b|[A-Za-z_$][\w$]*/g;

const kindOf = (token, language) => {
  if (/^["'`]/.test(token)) return "string";
  if (/^(\/\/|\/\*)/.test(token)) return HASH.test(language) ? null : "comment";
  if (token[0] === "#") return HASH.test(language) ? "comment" : null;
  if (token.startsWith("--")) return /^(sql|lua|haskell|hs)$/.test(language) ? "comment" : null;
  if (/^\d/.test(token)) return "number";
  return WORDS.has(token) ? "word" : null;
};

/** Code with its tokens marked, as a fragment. */
export const highlighted = (code, language = "") => {
  const out = document.createDocumentFragment();
  if (code.length > 100_000 || /^(text|txt|plain|)$/.test(language)) { out.append(code); return out; }
  let at = 0;
  for (const match of code.matchAll(TOKEN)) {
    const kind = kindOf(match[0], language);
    if (!kind) continue;
    out.append(code.slice(at, match.index), h("span", { class: `hl-${kind}` }, match[0]));
    at = match.index + match[0].length;
  }
  out.append(code.slice(at));
  return out;
};

const codeBlock = (code, language) => h("figure", { class: "code" },
  h("figcaption", {}, h("span", {}, language || t("code")), button(t("Copy"), () => copy(code, t("Copied")), { glyph: "copy", kind: "quiet small" })),
  h("pre", { tabindex: "0" }, h("code", {}, highlighted(code, language))));

const ours = (url) => /^data:image\/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+$/.test(url) || url.startsWith(`${location.origin}/`) || /^\/[^/]/.test(url);
const safe = (url) => { try { return ["http:", "https:"].includes(new URL(url).protocol); } catch { return false; } };
const link = (url, label) => safe(url) ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, label) : h("span", {}, label);

const INLINE = /(`{1,3})([^`]|[^`][^]{0,3000}?[^`])\1(?!`)|!\[([^\]\n]{0,500})\]\((data:image\/[^\s)]+|[^\s()]{1,2000})(?:\s+"[^"\n]{0,300}")?\)|\[([^\]\n]{1,500})\]\(([^\s()]{1,2000}(?:\([^\s()]{0,200}\))?)(?:\s+"[^"\n]{0,300}")?\)|\*\*([^\s*][^]{0,3000}?)\*\*|__([^\s_][^]{0,3000}?)__(?!\w)|~~([^\n]{1,2000}?)~~|\*([^\s*][^*\n]{0,2000})\*|(?<!\w)_([^\s_][^_\n]{0,2000})_(?!\w)|(https?:\/\/[^\s<>()"'`]{1,2000}[^\s<>()"'`.,;:!?])|\\([\\`*_{}[\]()#+\-.!>~|])/g;

/** Inline Markdown as a list of nodes. */
const inline = (text, depth = 0) => {
  if (depth > 6) return [text];
  const out = [];
  let at = 0;
  for (const m of text.matchAll(INLINE)) {
    out.push(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[1]) out.push(h("code", {}, m[2].trim() || m[2]));
    else if (m[4] !== undefined) out.push(ours(m[4]) ? h("img", { src: m[4], alt: m[3], loading: "lazy" }) : link(m[4], m[3] ? `${m[3]} (${m[4]})` : m[4]));
    else if (m[6] !== undefined) out.push(link(m[6], inline(m[5], depth + 1)));
    else if (m[7] ?? m[8]) out.push(h("strong", {}, inline(m[7] ?? m[8], depth + 1)));
    else if (m[9]) out.push(h("s", {}, inline(m[9], depth + 1)));
    else if (m[10] ?? m[11]) out.push(h("em", {}, inline(m[10] ?? m[11], depth + 1)));
    else if (m[12]) out.push(link(m[12], m[12]));
    else out.push(m[13]);
  }
  out.push(text.slice(at));
  return out;
};

const withBreaks = (lines) => lines.flatMap((line, i) => [i ? h("br", {}) : null, ...inline(line)]);
const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
const ITEM = /^(\s{0,30})([-*+]|\d{1,9}[.)])\s+(.*)$/;
const START = /^\s{0,3}(```|~~~|#{1,6}\s|>|([-*_])(\s*\2){2,}\s*$)/;

const list = (lines) => {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const items = [];
  for (const line of lines) {
    const m = ITEM.exec(line);
    if (m && m[1].length <= indent.length + 1) items.push([m[3]]);
    else items.at(-1).push(line.slice(Math.min(line.length, line.search(/\S|$/), indent.length + mark.length + 1)));
  }
  const ordered = /\d/.test(mark);
  return h(ordered ? "ol" : "ul", ordered ? { start: parseInt(mark, 10) } : {}, items.map((item) => {
    const [first, ...rest] = item;
    const task = /^\[([ xX])\]\s+(.*)$/.exec(first);
    return h("li", {}, task ? [task[1] === " " ? "☐ " : "☑ ", inline(task[2])] : inline(first), rest.some((line) => line.trim()) ? blocks(rest) : null);
  }));
};

const table = (lines) => h("div", { class: "table-wrap", tabindex: "0" }, h("table", {},
  h("thead", {}, h("tr", {}, cells(lines[0]).map((cell) => h("th", {}, inline(cell))))),
  h("tbody", {}, lines.slice(2).map((line) => h("tr", {}, cells(line).map((cell) => h("td", {}, inline(cell))))))));

const blocks = (lines, depth = 0) => {
  const out = [];
  let i = 0;
  const until = (stop) => { const from = i; while (i < lines.length && !stop(lines[i], i)) i++; return lines.slice(from, i); };
  while (i < lines.length) {
    const line = lines[i];
    const fence = /^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/.exec(line);
    if (!line.trim()) i++;
    else if (fence) {
      i++;
      const code = until((other) => other.trim().startsWith(fence[1]));
      i++;
      out.push(codeBlock(code.join("\n"), fence[2].toLowerCase()));
    } else if (/^\s{0,3}#{1,6}\s/.test(line)) {
      const [, marks, text] = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(line) ?? [null, "#", line];
      out.push(h(`h${Math.min(marks.length + 2, 6)}`, {}, inline(text)));
      i++;
    } else if (/^\s{0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) { out.push(h("hr", {})); i++; }
    else if (/^\s{0,3}>/.test(line) && depth < 8) {
      out.push(h("blockquote", {}, blocks(until((other) => !/^\s{0,3}>/.test(other)).map((other) => other.replace(/^\s{0,3}>\s?/, "")), depth + 1)));
    } else if (ITEM.test(line)) out.push(list(until((other, at) => !other.trim() ? !/^\s+\S/.test(lines[at + 1] ?? "") && !ITEM.test(lines[at + 1] ?? "") : at > i && !ITEM.test(other) && !/^\s/.test(other)).filter((other) => other.trim())));
    else if (line.includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[i + 1] ?? "") && lines[i + 1].includes("-")) out.push(table(until((other) => !other.includes("|"))));
    else {
      const text = until((other, at) => !other.trim() || (at > i && START.test(other)));
      if (!text.length) text.push(lines[i++]);
      out.push(h("p", {}, withBreaks(text)));
    }
  }
  return out;
};

/** Markdown text as elements. */
export const markdown = (text) => blocks(text.replaceAll("\r\n", "\n").split("\n"));
