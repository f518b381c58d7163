// Charts: packed data spread out again, colours of the theme put in, drawn when they come near the screen.
const INK = { "#1f2328": "#e6edf3", "#57606a": "#9aa4af", "#e4e7eb": "#2b323b", "#afb8c1": "#4b5563", "#fefefe": "#171b21", "#0b4f8a": "#5fb0f0", "#1a1d21": "#e6edf3", "#fdfdfd": "#0f1216" };
const LIFTED = { "#0b6fb8": "#4aa3e8", "#d1520a": "#f0883e", "#12866a": "#2fbf97", "#a8468f": "#d77cc0", "#9a7400": "#d0a215", "#6b4fb3": "#a08ae0", "#8a4b35": "#c98a70", "#5c6a70": "#9aa9b0", "#c2185b": "#f0659a" };
const views = new Map();

function unpacked(packed) {
  const columns = Object.entries(packed.columns).map(([key, column]) => [key, Array.isArray(column) ? column : column.at.map((at) => (at === null ? null : column.words[at]))]);
  return Array.from({ length: packed.n }, (_, row) => Object.fromEntries(columns.filter(([, column]) => column[row] !== null).map(([key, column]) => [key, column[row]])));
}

function elided(text, limit) {
  const half = limit / 2;
  return text.length <= limit ? text : `${text.slice(0, half)}…${text.slice(-half)}`;
}

function coloured(value) {
  if (!isDark()) return value;
  const table = { ...INK, ...LIFTED };
  return JSON.parse(JSON.stringify(value).replace(/#[0-9a-f]{6}/gi, (colour) => table[colour.toLowerCase()] || colour));
}

function recolourLegends() {
  $$(".swatch[data-hex]").forEach((swatch) => (swatch.style.background = coloured(swatch.dataset.hex)));
}

function replaced(node, words) {
  if (Array.isArray(node)) return node.map((value) => replaced(value, words));
  if (node && typeof node === "object") return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, replaced(value, words)]));
  return typeof node === "string" && Object.hasOwn(words, node) ? words[node] : node;
}

const FILLED = {
  front({ extra, spec }) {
    const cost = $("#front-cost").value;
    const quality = $("#front-quality").value;
    const best = new Set(extra.front[`${quality}/${cost}`]);
    const ranged = ([value, low, high]) => ({ value, low: low ?? value, high: high ?? value, boxed: low !== undefined });
    const shown = (r) => significant(r.value, 3) + (r.boxed ? ` [${significant(r.low, 3)}, ${significant(r.high, 3)}]` : "");
    const few = extra.points.length <= 12;
    const rows = extra.points.flatMap((point, at) => {
      if (!point.x[cost] || !point.y[quality]) return [];
      const x = ranged(point.x[cost]);
      const y = ranged(point.y[quality]);
      const box = x.boxed || y.boxed ? { xlow: x.low, xhigh: x.high, ylow: y.low, yhigh: y.high } : {};
      return [{ name: point.name, model: point.model, x: x.value, y: y.value, ...box, front: best.has(at), xtext: shown(x), ytext: shown(y), label: few && best.has(at) ? elided(point.name, window.innerWidth < 700 ? 18 : 40) : "" }];
    });
    const middle = (Math.min(...rows.map((row) => row.x)) + Math.max(...rows.map((row) => row.x))) / 2;
    rows.forEach((row) => (row.late = row.x > middle));
    rows.sort((a, b) => a.x - b.x || b.y - a.y);
    const names = rows.filter((row) => row.front).map((row) => row.name);
    $("#front-words").textContent = `Pareto-optimal by point values: ${names.slice(0, 6).join("; ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}.`;
    const layers = rows.some((row) => "xlow" in row) ? spec.layer : spec.layer.slice(1);
    return { spec: replaced({ ...spec, layer: layers }, { COST: extra.costs[cost], QUALITY: extra.qualities[quality] }), datasets: { points: rows } };
  },
  confusion({ extra, spec }) {
    const matrix = extra.matrices[Number($("#confusion-cell").value)];
    const pixels = matrix.pixels.flatMap((row, label) => {
      const total = row.reduce((sum, count) => sum + count, 0);
      return row.map((count, predicted) => ({ label: extra.classes[label], predicted: extra.classes[predicted], pixels: count, share: total ? (100 * count) / total : 0 }));
    });
    const worst = pixels.filter((p) => p.label !== p.predicted).sort((a, b) => b.share - a.share)[0];
    $("#confusion-words").textContent = worst && worst.share >= 1 ? `Most often: ${worst.label} taken for ${worst.predicted}, ${worst.share.toFixed(0)} % of its pixels.` : "";
    return { spec, datasets: { pixels } };
  },
};

async function draw(element) {
  const chart = DATA.charts[element.dataset.chart];
  const filled = FILLED[element.dataset.chart]?.(chart) ?? { spec: chart.spec, datasets: Object.fromEntries(Object.entries(chart.data).map(([name, packed]) => [name, unpacked(packed)])) };
  const spec = coloured({ ...filled.spec, autosize: filled.spec.width === "container" ? { type: "fit-x", contains: "padding" } : undefined });
  views.get(element)?.finalize();
  const config = coloured(element.clientWidth < 480 ? { ...DATA.theme, axis: { ...DATA.theme.axis, labelLimit: 110 } } : DATA.theme);
  const { view } = await vegaEmbed(element, { ...spec, datasets: filled.datasets, config }, { actions: false, renderer: "svg", logLevel: 1 });
  views.set(element, view);
  // the figure itself is the picture with its words
  $$("svg", element).forEach((svg) => svg.setAttribute("aria-hidden", "true"));
  element.dataset.drawn = "true";
}

function redraw(key) {
  const element = $(`[data-chart="${key}"]`);
  return element ? draw(element) : undefined;
}

function setUpCharts() {
  const all = $$("[data-chart]");
  const watcher = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
      watcher.unobserve(target);
      draw(target);
    }),
    { rootMargin: "600px" },
  );
  all.forEach((element) => watcher.observe(element));
  const rest = () => all.filter((element) => !element.dataset.drawn).forEach(draw);
  window.addEventListener("beforeprint", rest);
  (window.requestIdleCallback || setTimeout)(rest, { timeout: 3000 });
  themeListeners.push(() => {
    all.filter((element) => element.dataset.drawn).forEach(draw);
    recolourLegends();
  });
  recolourLegends();
  for (const [id, key] of [["front-cost", "front"], ["front-quality", "front"], ["confusion-cell", "confusion"]]) {
    document.getElementById(id)?.addEventListener("change", () => redraw(key));
  }
}
