// Small charts as SVG: bars and lines over the last hour, with the values under the pointer or the arrow keys.
import { h, s } from "./dom.js";
import { clock } from "./words.js";

const W = 300, H = 64;

const path = (values, most) => {
  let out = "", pen = false;
  values.forEach((value, i) => {
    if (value === null) { pen = false; return; }
    const x = ((i + 0.5) / values.length) * W, y = H - (value / most) * (H - 4) - 1;
    out += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (!pen && (values[i + 1] ?? null) === null) out += `l2 0`;
    pen = true;
  });
  return out;
};

const bars = (series, most) => {
  const tops = new Array(series[0].values.length).fill(0);
  return series.map(({ values, kind }) => {
    let d = "";
    const width = W / values.length;
    values.forEach((value, i) => {
      if (!value) return;
      const height = Math.max((value / most) * (H - 4), 1.5);
      d += `M${(i * width + 0.5).toFixed(1)} ${(H - tops[i]).toFixed(1)}v${-height.toFixed(1)}h${(width - 1).toFixed(1)}v${height.toFixed(1)}z`;
      tops[i] += height;
    });
    return s("path", { d, class: `bar ${kind}` });
  });
};

/** A chart that is updated in place: {element, update}. `stacked` bars, or lines. `format` makes a value readable. */
export const chart = ({ title, stacked, format }) => {
  const plot = s("g", {});
  const rule = s("line", { class: "rule", y1: 0, y2: H, x1: -9, x2: -9 });
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", tabindex: "0" },
    s("line", { class: "axis", x1: 0, x2: W, y1: H - 0.5, y2: H - 0.5 }), plot, rule);
  const big = h("strong", {}), unit = h("span", { class: "muted" }), under = h("p", { class: "chart-note" });
  const top = h("span", { class: "chart-top muted" });
  const element = h("section", { class: "card chart" }, h("h3", {}, title), h("p", { class: "figure" }, big, " ", unit), h("div", { class: "plot" }, svg, top), under);
  let now = null, at = null, idle = "";

  const point = (index) => {
    if (!now) return;
    at = index === null ? null : Math.max(0, Math.min(index, now.count - 1));
    const x = at === null ? -9 : ((at + 0.5) / now.count) * W;
    rule.style.setProperty("display", at === null ? "none" : "");
    rule.setAttribute("x1", x);
    rule.setAttribute("x2", x);
    under.textContent = at === null ? idle
      : `${clock(now.ends - (now.count - at) * now.step)} · ` + now.series.map(({ name, values }) => `${name} ${values[at] === null ? "–" : format(values[at])}`).join(" · ");
  };
  svg.addEventListener("pointermove", (event) => point(Math.floor((event.offsetX / svg.clientWidth) * (now?.count ?? 1))));
  svg.addEventListener("pointerleave", () => point(null));
  svg.addEventListener("blur", () => point(null));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); point((at ?? now?.count ?? 0) + step); }
  });

  const update = ({ series, step, ends, figure, caption, note }) => {
    const count = series[0].values.length;
    const sums = series[0].values.map((_, i) => stacked ? series.reduce((sum, { values }) => sum + values[i], 0) : Math.max(...series.map(({ values }) => values[i] ?? 0)));
    const most = Math.max(...sums, stacked ? 1 : 0.001);
    plot.replaceChildren(...(stacked ? bars(series, most) : series.map(({ values, kind }) => s("path", { d: path(values, most), class: `line ${kind}` }))));
    top.textContent = Math.max(...sums) > 0 ? format(most) : "";
    big.textContent = figure;
    unit.textContent = caption;
    idle = note ?? "";
    now = { series, step, ends, count };
    svg.setAttribute("aria-label", `${title}: ${figure} ${caption}. ${idle}`);
    point(at);
  };
  return { element, update };
};

/** Neighbouring steps put together: sums, or the largest where `largest`. */
export const grouped = (values, by, largest) => {
  const out = [];
  for (let i = 0; i < values.length; i += by) {
    const some = values.slice(i, i + by).filter((value) => value !== null);
    out.push(largest ? (some.length ? Math.max(...some) : null) : some.reduce((sum, value) => sum + value, 0));
  }
  return out;
};
