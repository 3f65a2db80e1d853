// History and learning curves.

import { COLOURS, extent, frame, html, inspect, padded, shown, svg } from "./plot.js";

export function history(host, data, options) {
  if (!data.points.length) return nothing(host, data.is_filtered ? "No trial that the filters keep has a value." : "No trial has a value yet.");
  const [low, high] = data.limits;
  const isLog = options.log && low > 0;
  const xs = extent(data.points.map((point) => point[0]));
  if (xs[0] === xs[1]) xs[1] += 1;
  const { root, body, x, y, edge, height } = frame(host, {
    xs: padded(xs), ys: padded([low, high], isLog), logY: isLog, wholeX: true, xTitle: "trial", yTitle: data.objective,
    label: `${data.objective} of ${data.total} trial${data.total === 1 ? "" : "s"} by number, and the best so far: ${shown(data.best.at(-1)?.[1])}`,
  });
  const inspected = [];
  for (const [number, value, state] of data.points) {
    const isOutside = value < low || value > high;
    const [left, top] = [x(number), isOutside ? (value > high ? edge.top : height - edge.bottom) : y(value)];
    const shape = state === "COMPLETE" ? svg("circle", { cx: left, cy: top, r: 2.6 }) : svg("path", { d: `M${left - 3},${top - 3}l6,6m0,-6l-6,6` });
    shape.setAttribute("class", `point ${state.toLowerCase()}${isOutside ? " outside" : ""}`);
    body.append(shape);
    inspected.push({ x: left, y: top, text: `trial ${number}\n${data.objective} ${shown(value)}\n${words(state)}`, href: `${options.trials}${number}` });
  }
  const steps = data.best.map(([number, value], index) => `${index ? `H${x(number)}V` : `M${x(number)},`}${y(value)}`).join("");
  if (steps) body.append(svg("path", { class: "best", d: steps }));
  host.append(root);
  host.append(legend([["best", "best so far"], ["complete", "complete"], ["pruned", "pruned or failed"]], told(data)));
  inspect(host, root, inspected);
  return undefined;
}

function told(data) {
  const count = (number) => number.toLocaleString("en");
  const part = data.points.length < data.total ? [`${count(data.points.length)} of ${count(data.total)} points, a random sample with the best and the worst`] : [];
  return [...part, ...(data.outside ? [`${count(data.outside)} beyond the axis`] : [])].join("; ");
}

export function curves(host, data, options) {
  const lines = data.lines.filter((line) => line.points.length);
  if (!lines.length) return nothing(host, `No trial shown has reported ${data.metric}.`);
  const numbers = [...new Set(lines.map((line) => line.number))];
  const colour = (line) => numbers.indexOf(line.number);
  drawn(host, lines, { ...options, yTitle: data.metric, colour, name: (line) => `trial ${line.number}`, href: (line) => `${options.trials}${line.number}` });
  host.append(html("ul", { class: "legend" }, ...numbers.map((number, index) => {
    const line = lines.find((each) => each.number === number);
    const link = html("a", { href: `${options.trials}${number}` }, swatch(index), line.id);
    return html("li", { class: line.state.startsWith("PRUNED") ? "pruned" : "" }, link);
  })));
  return undefined;
}

// The charts of one trial: one for each metric, train and validation together.
export function trial(host, data, options) {
  if (!data.charts.length) return nothing(host, "Nothing has been reported yet.");
  const grid = html("div", { class: "small" });
  host.append(grid);
  // all of them first: what there is decides how wide they are
  const cells = data.charts.map(() => html("div", { class: "cell" }));
  grid.append(...cells);
  for (const [index, chart] of data.charts.entries()) {
    const cell = cells[index];
    const names = [...new Set(chart.lines.map((line) => line.name))];
    drawn(cell, chart.lines, { ...options, height: 210, yTitle: chart.metric, colour: (line) => names.indexOf(line.name), name: (line) => line.name });
    if (names.length > 1) {
      cell.append(html("ul", { class: "legend" }, ...names.map((name, at) => html("li", {}, swatch(at), name))));
    }
  }
  return undefined;
}

function drawn(host, lines, { log, height, yTitle, colour, name, href }) {
  const values = lines.flatMap((line) => line.points.map((point) => point[1]));
  const ys = extent(values);
  const isLog = log && ys[0] > 0;
  const steps = extent(lines.flatMap((line) => line.points.map((point) => point[0])));
  if (steps[0] === steps[1]) [steps[0], steps[1]] = [steps[0] - 1, steps[1] + 1];
  const { root, body, x, y } = frame(host, {
    xs: steps, ys: padded(ys, isLog), logY: isLog, wholeX: true,
    xTitle: "step", yTitle, height, label: `${yTitle} by step, ${lines.length} curves from ${shown(ys[0])} to ${shown(ys[1])}`,
  });
  const inspected = [];
  for (const line of lines) {
    const index = colour(line);
    const d = line.points.map((point, at) => `${at ? "L" : "M"}${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join("");
    const kind = `line c${index % COLOURS}${index >= COLOURS ? " dashed" : ""}${line.replicate ? " replicate" : ""}`;
    body.append(svg("path", { class: kind, d }));
    if (line.points.length === 1) body.append(svg("circle", { class: `single c${index % COLOURS}`, cx: x(line.points[0][0]), cy: y(line.points[0][1]), r: 3 }));
    for (const [step, value] of line.points) {
      const of = line.replicate ? `, replicate ${line.replicate}` : "";
      inspected.push({ x: x(step), y: y(value), text: `${name(line)}${of}\nstep ${step}\n${yTitle} ${shown(value)}`, href: href?.(line) });
    }
  }
  host.append(root);
  inspect(host, root, inspected);
}

export function nothing(host, told) {
  host.append(html("p", { class: "empty" }, told));
}

function legend(entries, note) {
  const items = entries.map(([kind, text]) => html("li", {}, html("span", { class: `swatch of-${kind}` }), text));
  if (note) items.push(html("li", { class: "note" }, note));
  return html("ul", { class: "legend" }, ...items);
}

function swatch(index) {
  return html("span", { class: `swatch b${index % COLOURS}${index >= COLOURS ? " dashed" : ""}` });
}

export function words(state) {
  return state.replaceAll("_", " ").toLowerCase();
}
