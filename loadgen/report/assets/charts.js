// Percentiles as a table; the histogram and the rate as charts (uPlot).

const NAMES = ["recorded", "replayed"];
let charts = [];

function showFigures(store) {
  const figures = store.data.figures;
  if (!figures.percentiles.some((one) => Object.keys(one).length)) return;
  reveal("latency");
  showPercentiles(figures.percentiles, figures.corrected);
  describe(figures);
  drawCharts(figures);
  let width = 0;
  new ResizeObserver(() => {
    const now = byId("histogram").clientWidth;
    if (now !== width) { width = now; drawCharts(figures); }
  }).observe(byId("histogram"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(figures));
}

function showPercentiles(sides, corrected) {
  const names = Object.keys(sides.find((one) => Object.keys(one).length));
  const row = (label, side, kind) => make("tr", make(`th.side-${kind}`, { scope: "row" }, label),
    names.map((name) => make("td", side[name] === undefined ? "—" : [shortMs(side[name]), make("small", "ms")])));
  byId("percentiles").append(
    make("caption.visually-hidden", "Latency percentiles, in milliseconds"),
    make("thead", make("tr", make("th", { scope: "col" }, "latency"), names.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", sides.map((side, at) => row(NAMES[at], side, at ? "rep" : "rec")),
      corrected.p50 === undefined ? null : row("recorded, from when due", corrected, "rec")));
}

function shortMs(value) { return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2); }

function describe(figures) {
  const of = (at) => figures.percentiles[at] && figures.percentiles[at].p50 !== undefined
    ? `${NAMES[at]}: half within ${figures.percentiles[at].p50} ms, 99 percent within ${figures.percentiles[at].p99} ms` : "";
  byId("histogram").setAttribute("aria-label", `Histogram of latencies. ${[of(0), of(1)].filter(Boolean).join("; ")}.`);
  const peaks = figures.rate.rates.map((rates, at) => (rates.length ? `${NAMES[at]}: at most ${Math.max(...rates)} answers a second` : "")).filter(Boolean);
  byId("rate").setAttribute("aria-label", `Rate over time. ${peaks.join("; ")}.`);
}

function drawCharts(figures) {
  charts.forEach((chart) => chart.destroy());
  charts = [drawHistogram(figures.histogram), drawRate(figures.rate)].filter(Boolean);
}

function axisStyle(more) {
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return { stroke: colour("ink-2"), font, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, ...more };
}

function options(element, more) {
  return {
    width: element.clientWidth, height: element.clientHeight, legend: { show: false }, padding: [10, 8, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } }, ...more,
  };
}

function drawHistogram({ edges, counts }) {
  const element = byId("histogram");
  if (edges.length < 2) return null;
  const low = Math.log10(edges[0]), width = (Math.log10(edges[edges.length - 1]) - low) / (edges.length - 1);
  const fraction = (ms) => (Math.log10(ms) - low) / width - 0.5;
  const marks = [], kept = new Set();
  for (let power = Math.floor(low); power <= Math.log10(edges[edges.length - 1]); power++) {
    for (const step of [1, 2, 5]) {
      const at = fraction(step * 10 ** power);
      if (at > -0.5 && at < edges.length - 1.5) marks.push([at, step * 10 ** power]);
    }
  }
  const x = Array.from({ length: edges.length - 1 }, (_, at) => at);
  const range = [-0.5, edges.length - 1.5];
  const label = (ms) => (ms >= 1000 ? `${ms / 1000} s` : ms >= 1 ? `${+ms.toPrecision(2)} ms` : `${+(ms * 1000).toPrecision(2)} µs`);
  const apart = 58 / ((element.clientWidth - 54) / (edges.length - 1)); // in buckets: no label runs into the next
  const few = marks.filter(([at], index) => marks.slice(0, index).every(([before], n) => !kept.has(n) || at - before >= apart) && kept.add(index));
  return new uPlot(options(element, {
    scales: { x: { time: false, range: () => range }, y: { range: (_, __, max) => [0, Math.max(1, max) * 1.06] } },
    axes: [
      axisStyle({ splits: () => few.map(([at]) => at), values: () => few.map(([, ms]) => label(ms)), size: 32, grid: { show: false } }),
      axisStyle({ size: 46, values: (_, splits) => splits.map((one) => (Number.isInteger(one) ? number(one) : "")) }),
    ],
    series: [
      {},
      { label: NAMES[0], fill: `${colour("rec")}b0`, stroke: colour("rec"), width: 0, paths: uPlot.paths.bars({ size: [0.86, 100] }), points: { show: false } },
      { label: NAMES[1], stroke: colour("rep"), width: 2, paths: uPlot.paths.stepped({ align: 0 }), points: { show: false } },
    ].slice(0, counts.length + 1),
    hooks: { setCursor: [(plot) => hover(plot, element, (at) => `${label(edges[at])} to ${label(edges[at + 1])}: ${counts.map((side, n) => `${number(side[at])} ${NAMES[n]}`).join(", ")}`)] },
  }), [x, ...counts], element);
}

function drawRate({ at, rates }) {
  const element = byId("rate");
  if (!at.length) return null;
  return new uPlot(options(element, {
    scales: { x: { time: false, range: () => [0, at[at.length - 1] + at[0]] }, y: { range: (_, __, max) => [0, (max || 1) * 1.08] } },
    axes: [axisStyle({ values: (_, splits) => splits.map((one) => `${+one.toFixed(3)} s`), size: 32, grid: { show: false } }), axisStyle({ size: 52, values: (_, splits) => splits.map(number) })],
    series: [
      {},
      { label: NAMES[0], stroke: colour("rec"), fill: `${colour("rec")}26`, width: 2, points: { show: false } },
      { label: NAMES[1], stroke: colour("rep"), width: 2, points: { show: false } },
    ].slice(0, rates.length + 1),
    hooks: { setCursor: [(plot) => hover(plot, element, (n) => `${+at[n].toFixed(3)} s: ${rates.map((side, one) => `${side[n] === null ? "—" : number(side[n])} a second ${NAMES[one]}`).join(", ")}`)] },
  }), [at, ...rates], element);
}

// Describe the data under the pointer in the figure's caption.
function hover(plot, element, words) {
  const caption = element.parentElement.querySelector("figcaption span");
  caption.dataset.rest ??= caption.textContent;
  caption.textContent = plot.cursor.idx === null || plot.cursor.left < 0 ? caption.dataset.rest : words(plot.cursor.idx);
}
