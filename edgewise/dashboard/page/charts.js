// Curves over rounds, drawn by uPlot in the page's own colours.
import { $, element } from "./words.js";

const charts = new Map();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const HEIGHT = 190;

// `lines`: [{label, values, colour: "--accent", dash, bars}], one value (or null) for each of `rounds`.
export function draw(id, rounds, lines, format, fresh = false) {
  const holder = $(id);
  const shown = lines.filter((line) => line.values.some((value) => value != null));
  const drawn = charts.get(id);
  const labels = shown.map((line) => line.label).join();
  if (drawn && !fresh && drawn.labels === labels) {
    Object.assign(drawn, { rounds, lines });
    holder.setAttribute("aria-label", summary(rounds, shown, format));
    drawn.plot.setData([rounds, ...shown.map((line) => line.values)]);
    rest(drawn.plot);
    return;
  }
  drawn?.plot.destroy();
  holder.replaceChildren();
  holder.setAttribute("role", "group");
  if (!shown.length) {
    charts.delete(id);
    holder.append(element("p", { class: "empty" }, "Nothing measured yet."));
    return;
  }
  holder.setAttribute("aria-label", summary(rounds, shown, format));
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, font: "12px system-ui, 'DejaVu Sans', sans-serif" };
  const plot = new uPlot({
    width: Math.max(220, holder.clientWidth),
    height: HEIGHT,
    cursor: { points: { size: 7 }, y: false },
    hooks: { ready: [rest], setCursor: [rest] },
    scales: { x: { time: false, range: span }, y: { range: { min: { pad: 0.08, soft: 0, mode: 1 }, max: { pad: 0.08 } } } },
    axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], values: (_, ticks) => ticks.map((tick) => `${tick}`) }, { ...axis, size: 52 }],
    series: [
      { label: "round", value: (_, value) => (value == null ? "–" : `${value}`) },
      ...shown.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        fill: line.bars ? colour(line.colour) : undefined,
        width: line.bars ? 0 : 2,
        dash: line.dash,
        spanGaps: true,
        paths: line.bars ? uPlot.paths.bars({ size: [0.38, 22], align: line.bars }) : undefined,
        points: line.bars ? { show: false } : { size: 5, fill: colour("--card"), width: 2 },
        value: (_, value) => format(value),
      })),
    ],
  }, [rounds, ...shown.map((line) => line.values)], holder);
  charts.set(id, { plot, rounds, lines, labels, format });
}

// Of a single round uPlot makes a hundred; it is shown with room for the next.
function span(plot, low, high) {
  const end = plot.data[0].length > 1 ? high : low;
  return [low - 0.3, Math.max(end, low + 1) + 0.3];
}

// With no pointer on the chart its legend says the last round's values.
function rest(plot) {
  if (plot.cursor.idx == null) plot.setLegend({ idx: plot.data[0].length - 1 }, false);
}

function summary(rounds, lines, format) {
  const parts = lines.map((line) => {
    const last = line.values.findLastIndex((value) => value != null);
    const first = line.values.findIndex((value) => value != null);
    return `${line.label} from ${format(line.values[first])} in round ${rounds[first]} to ${format(line.values[last])} in round ${rounds[last]}`;
  });
  return parts.join("; ");
}

export function redraw() {
  for (const [id, chart] of [...charts]) draw(id, chart.rounds, chart.lines, chart.format, true);
}

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return; // a phone's address bar coming and going
  width = window.innerWidth;
  for (const [id, chart] of charts) chart.plot.setSize({ width: Math.max(220, $(id).clientWidth), height: HEIGHT });
});
