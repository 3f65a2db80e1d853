// Parallel coordinates: a line a trial, coloured by the objective; a range on an axis chooses among them.

import { nothing } from "./lines.js";
import { html, scale, shown, svg } from "./plot.js";

const [SHADES, FEW] = [5, 120];
const HEIGHT = 292;
const [TOP, BOTTOM, SIDE] = [44, 268, 46];

export function parallel(host, data, options) {
  if (!data.rows.length) return nothing(host, data.is_filtered ? "No trial that the filters keep is complete." : "No trial is complete yet.");
  const axes = data.axes.map((axis, index) => ({ ...axis, index, of: scaleOf(axis), hasNone: data.rows.some((row) => row[index + 1] === null) }));
  const width = Math.max(host.clientWidth, axes.length * 104);
  axes.forEach((axis) => { axis.x = axes.length > 1 ? SIDE + (axis.index * (width - 2 * SIDE)) / (axes.length - 1) : width / 2; });
  const root = svg("svg", { class: "frame parallel", width, height: HEIGHT, role: "group", "aria-label": `${data.rows.length} of ${data.total} complete trials over ${axes.length} ${axes.length === 1 ? "axis" : "axes"}` });
  const lines = data.rows.map((row) => {
    const d = axes.map((axis, at) => `${at ? "L" : "M"}${axis.x.toFixed(1)},${axis.of(row[at + 1]).toFixed(1)}`).join("");
    return svg("path", { d });
  });
  // the rows come best first: the best are drawn last, on top
  lines.forEach((line, at) => line.setAttribute("class", `shade${Math.floor((at * SHADES) / lines.length)}`));
  root.append(svg("g", { class: lines.length < FEW ? "lines few" : "lines" }, ...[...lines].reverse()));
  const ranges = options.state.ranges ??= new Map();
  const told = html("p", { class: "note", role: "status" });
  const update = () => choose(data, axes, lines, ranges, told, options);
  for (const axis of axes) root.append(axisOf(axis, ranges, update, root, axis.index > 0 && axis.index === axes.length - 1));
  host.append(html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" }, root), told);
  update();
  return undefined;
}

function scaleOf(axis) {
  if (axis.kind === "number") {
    const of = scale(axis.low, axis.high, BOTTOM, TOP, axis.log);
    return Object.assign((value) => (typeof value === "number" ? of(value) : BOTTOM + 14), { back: of.back, ticks: of.ticks });
  }
  const count = axis.categories.length;
  const step = count > 1 ? (BOTTOM - TOP) / (count - 1) : 0;
  return (value) => {
    const at = axis.categories.indexOf(String(value));
    return at < 0 ? BOTTOM + 14 : count > 1 ? BOTTOM - at * step : (TOP + BOTTOM) / 2;
  };
}

function axisOf(axis, ranges, update, root, isLast) {
  const group = svg("g", { class: "axis", transform: `translate(${axis.x},0)` });
  const name = axis.title.length > 15 ? `…${axis.title.slice(-14)}` : axis.title;
  const title = svg("text", { class: "name", y: axis.index % 2 ? 14 : 28, "text-anchor": "middle" }, name);
  title.append(svg("title", {}, axis.title));
  group.append(title, svg("line", { class: "base", y1: TOP, y2: BOTTOM }));
  const marks = axis.kind === "number" ? axis.of.ticks(4) : axis.categories;
  for (const value of marks) {
    const whole = axis.kind === "number" ? shown(value) : value;
    const text = whole.length > 12 ? `${whole.slice(0, 11)}…` : whole;
    // beside the last axis there is room for a short one alone
    const isLeft = isLast && 7 + text.length * 7 > SIDE;
    group.append(svg("text", { class: "value", x: isLeft ? -7 : 7, y: axis.of(value), dy: "0.32em", "text-anchor": isLeft ? "end" : "start" }, text));
  }
  if (axis.hasNone) group.append(svg("text", { class: "value", x: 7, y: BOTTOM + 14, dy: "0.32em" }, "none"));
  const brush = svg("rect", { class: "brush", x: -9, width: 18, y: 0, height: 0 });
  const area = svg("rect", { class: "area", x: -14, width: 28, y: TOP - 10, height: BOTTOM - TOP + 20 });
  group.append(brush, area);
  const show = () => {
    const range = ranges.get(axis.id);
    brush.setAttribute("y", range ? range[0] : 0);
    brush.setAttribute("height", range ? range[1] - range[0] : 0);
  };
  show();
  let start = null;
  const at = (event) => Math.max(TOP - 8, Math.min(BOTTOM + 8, event.clientY - root.getBoundingClientRect().top));
  area.addEventListener("pointerdown", (event) => {
    start = at(event);
    area.setPointerCapture(event.pointerId);
    ranges.delete(axis.id);
    show();
    update();
    event.preventDefault();
  });
  area.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const end = at(event);
    if (Math.abs(end - start) > 3) ranges.set(axis.id, [Math.min(start, end), Math.max(start, end)]);
    show();
    update();
  });
  area.addEventListener("pointerup", () => { start = null; });
  area.addEventListener("pointercancel", () => { start = null; });
  return group;
}

function choose(data, axes, lines, ranges, told, options) {
  const brushed = axes.filter((axis) => ranges.has(axis.id));
  const isIn = (axis, row) => {
    const [top, bottom] = ranges.get(axis.id);
    const y = axis.of(row[axis.index + 1]);
    return y >= top && y <= bottom;
  };
  let count = 0;
  data.rows.forEach((row, at) => {
    const isChosen = brushed.every((axis) => isIn(axis, row));
    count += isChosen;
    lines[at].classList.toggle("out", !isChosen);
  });
  const part = data.rows.length < data.total ? `${data.rows.length} of ${data.total} complete trials are drawn, the best among them. ` : "";
  told.replaceChildren(part);
  if (!brushed.length) return;
  const address = new URLSearchParams(options.asked);
  for (const axis of brushed) for (const text of conditions(axis, ranges.get(axis.id))) address.append("where", text);
  const clear = html("button", { type: "button" }, "Clear");
  clear.addEventListener("click", () => { ranges.clear(); options.redraw(); });
  told.append(`${count} chosen. `, html("a", { href: `?${address}`, "data-soft": "" }, "Show them in the table"), " ", clear);
}

// The conditions by which the table finds what lies in a range.
function conditions(axis, [top, bottom]) {
  if (axis.kind === "number") {
    const [low, high] = [axis.of.back(Math.min(bottom, BOTTOM)), axis.of.back(Math.max(top, TOP))];
    return [`${axis.id}>=${Number(low.toPrecision(5))}`, `${axis.id}<=${Number(high.toPrecision(5))}`];
  }
  return axis.categories.filter((name) => axis.of(name) < top || axis.of(name) > bottom).map((name) => `${axis.id}!=${name}`);
}
