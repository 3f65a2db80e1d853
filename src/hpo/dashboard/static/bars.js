// Importance and timeline.

import { nothing, words } from "./lines.js";
import { anchor, html, place, scale, seconds, svg } from "./plot.js";

const ROW = 26;

export function importance(host, data) {
  if (!data.shares.length) return nothing(host, data.told);
  const width = Math.max(260, host.clientWidth);
  const shares = data.shares.slice(0, 20);
  const left = Math.min(width * 0.5, 12 + 6.6 * Math.max(...shares.map(([name]) => name.length)));
  const x = scale(0, Math.max(...shares.map((entry) => entry[1])), left, width - 52);
  const root = svg("svg", { class: "frame", width, height: shares.length * ROW + 8, role: "img", "aria-label": `Importance: ${shares.map(([name, share]) => `${name} ${share.toFixed(2)}`).join(", ")}` });
  shares.forEach(([name, share], index) => {
    const top = index * ROW + 4;
    const most = Math.max(6, Math.floor((left - 12) / 6.6));
    const text = name.length > most ? `…${name.slice(1 - most)}` : name;
    const label = svg("text", { class: "label", x: left - 8, y: top + ROW / 2, dy: "0.32em", "text-anchor": "end" }, text);
    label.append(svg("title", {}, name));
    root.append(label, svg("rect", { class: "share", x: left, y: top + 4, width: Math.max(1, x(share) - left), height: ROW - 8, rx: 2 }));
    root.append(svg("text", { class: "label", x: x(share) + 6, y: top + ROW / 2, dy: "0.32em" }, share.toFixed(3)));
  });
  host.append(root, html("p", { class: "note" }, data.told + (data.is_ready ? "" : " A newer result is on its way.")));
  return undefined;
}

export function timeline(host, data, options) {
  if (!data.slots.length) return nothing(host, "No trial has started yet.");
  const width = Math.max(260, host.clientWidth);
  const row = Math.max(6, Math.min(22, 340 / data.slots.length));
  const left = 34;
  const bottom = data.slots.length * row + 6;
  const span = Math.max(1e-6, data.span);
  const x = scale(0, span, left, width - 12);
  const root = svg("svg", { class: "frame timeline", width, height: bottom + 38, role: "img", "aria-label": `${data.total} trial${data.total === 1 ? "" : "s"} in ${data.slots.length} slot${data.slots.length === 1 ? "" : "s"} over ${seconds(span)}, ${Math.round(data.busy * 100)} % busy` });
  const axis = svg("g", { class: "axis" });
  for (const value of timeTicks(x, span, width)) {
    axis.append(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: 0, y2: bottom }));
    axis.append(svg("text", { x: x(value), y: bottom + 15, "text-anchor": anchor(x(value), width, seconds(value)) }, seconds(value)));
  }
  axis.append(svg("text", { class: "name", x: (left + width) / 2, y: bottom + 33, "text-anchor": "middle" }, `since the first trial started${data.pauses.length ? ", pauses left out" : ""}`));
  root.append(axis);
  const tip = html("div", { class: "tip", hidden: "" });
  data.slots.forEach((slot, index) => {
    if (row >= 11) root.append(svg("text", { class: "label", x: left - 8, y: index * row + row / 2, dy: "0.32em", "text-anchor": "end" }, index + 1));
    for (const [start, end, number, state, count] of slot) {
      const [from, to] = [x(start), x(end)];
      const bar = svg("rect", { class: `bar ${(state || "mixed").toLowerCase()}`, x: from, y: index * row + 1, width: Math.max(0.8, to - from - 0.6), height: row - 2 });
      bar.dataset.text = count > 1 ? `${count} trials from ${number} on\n${state ? words(state) : "of several states"}` : `trial ${number}\n${words(state)}\n${seconds(end - start)}`;
      bar.dataset.number = number;
      root.append(bar);
    }
  });
  for (const [at, length] of data.pauses) {
    const mark = svg("line", { class: "pause", x1: x(at), x2: x(at), y1: 0, y2: bottom });
    mark.dataset.text = `no trial ran for ${seconds(length)}`;
    root.append(mark);
  }
  root.addEventListener("pointermove", (event) => {
    if (!event.target.dataset.text) tip.hidden = true;
    else place(host, tip, event.target.dataset.text, event.offsetX, event.offsetY);
  });
  root.addEventListener("pointerleave", () => { tip.hidden = true; });
  root.addEventListener("click", (event) => event.target.dataset.number && location.assign(`${options.trials}${event.target.dataset.number}`));
  const states = [...new Set(data.slots.flat().map((bar) => bar[3] || "mixed"))];
  const items = states.map((state) => html("li", {}, html("span", { class: `swatch s-${state.toLowerCase()}` }), state === "mixed" ? "several" : words(state)));
  host.append(root, tip, html("ul", { class: "legend" }, ...items, html("li", { class: "note" }, `${Math.round(data.busy * 100)} % busy${paused(data.pauses)}`)));
  return undefined;
}

function paused(pauses) {
  if (!pauses.length) return "";
  const length = seconds(pauses.reduce((sum, pause) => sum + pause[1], 0));
  return pauses.length === 1 ? `, a pause of ${length} left out` : `, ${pauses.length} pauses of together ${length} left out`;
}

function timeTicks(x, span, width) {
  const count = Math.max(2, Math.min(8, width / 110));
  if (span < 60) return x.ticks(count);
  const steps = [10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800];
  const wanted = span / count;
  const fitting = steps.find((each) => each >= wanted) ?? wanted;
  const step = fitting <= span ? fitting : steps.findLast((each) => each <= span);
  const found = [];
  for (let value = 0; value <= span; value += step) found.push(value);
  return found;
}
