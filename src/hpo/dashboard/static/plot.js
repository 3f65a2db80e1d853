// Axes, scales, ticks and the tip: what all charts share. Colours and fonts come from the style sheet.

const SVG = "http://www.w3.org/2000/svg";
export const COLOURS = 8;

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// A number as an axis and a tip show it.
export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(5)));
}

export function seconds(value) {
  if (value < 60) return `${Number(value.toPrecision(2))} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${String(Math.round(value % 60)).padStart(2, "0")} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${String(Math.round((value % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(value / 86400)} d ${Math.round((value % 86400) / 3600)} h`;
}

// From values to pixels; `log` only where all values are above zero.
export function scale(low, high, from, to, isLog = false) {
  const log = isLog && low > 0;
  const way = log ? Math.log10 : (value) => value;
  let [start, end] = [way(low), way(high)];
  if (start === end) [start, end] = [start - 0.5, end + 0.5];
  const of = (value) => from + ((way(value) - start) / (end - start)) * (to - from);
  of.back = (pixel) => {
    const value = start + ((pixel - from) / (to - from)) * (end - start);
    return log ? 10 ** value : value;
  };
  of.ticks = (count, isWhole = false) => {
    if (low === high) return [low];
    // one tick alone tells no scale: closer ones are tried
    for (let more = count; more <= 64; more *= 2) {
      const found = log && more === count ? logTicks(start, end, count) : ticks(way === Math.log10 ? low : start, way === Math.log10 ? high : end, more, isWhole);
      if (found.length > 1 || (isWhole && high - low < 1)) return found;
    }
    return [low, high];
  };
  return of;
}

function ticks(low, high, count, isWhole = false) {
  const rough = (high - low) / Math.max(1, count);
  const unit = 10 ** Math.floor(Math.log10(rough));
  const fitting = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const step = isWhole ? Math.max(1, Math.round(fitting)) : fitting;
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
    found.push(Number((index * step).toPrecision(12)));
  }
  return found;
}

function logTicks(low, high, count) {
  if (high - low < 1) return ticks(10 ** low, 10 ** high, count).filter((value) => value > 0);
  const every = Math.ceil((high - low) / Math.max(1, count));
  const found = [];
  for (let power = Math.ceil(low - 1e-9); power <= high + 1e-9; power += every) found.push(Number(`1e${power}`));
  if (found.length < 2) {
    for (const power of [Math.floor(low), Math.floor(high)]) found.push(Number(`2e${power}`), Number(`5e${power}`));
  }
  return [...new Set(found)].filter((value) => value >= 10 ** low * 0.999 && value <= 10 ** high * 1.001).sort((a, b) => a - b);
}

// A label at the right edge ends there, and is not cut off.
export function anchor(at, width, text) {
  return at + text.length * 3.5 > width ? "end" : "middle";
}

// A frame with two axes. Returns what to draw into and the scales.
export function frame(host, { xs, ys, xTitle, yTitle, logX, logY, wholeX, height = 260, label }) {
  const width = Math.max(260, host.clientWidth);
  const edge = { left: 58, right: 12, top: 26, bottom: 40 };
  const x = scale(xs[0], xs[1], edge.left, width - edge.right, logX);
  const y = scale(ys[0], ys[1], height - edge.bottom, edge.top, logY);
  const root = svg("svg", { class: "frame", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const grid = svg("g", { class: "axis" });
  for (const value of y.ticks(5)) {
    const at = y(value);
    grid.append(svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: at, y2: at }));
    grid.append(svg("text", { x: edge.left - 8, y: at, dy: "0.32em", "text-anchor": "end" }, shown(value)));
  }
  for (const value of x.ticks(Math.min(8, width / 90), wholeX)) {
    const at = x(value);
    grid.append(svg("line", { class: "tick", x1: at, x2: at, y1: height - edge.bottom, y2: height - edge.bottom + 4 }));
    grid.append(svg("text", { x: at, y: height - edge.bottom + 17, "text-anchor": anchor(at, width, shown(value)) }, shown(value)));
  }
  grid.append(svg("line", { class: "base", x1: edge.left, x2: width - edge.right, y1: height - edge.bottom, y2: height - edge.bottom }));
  grid.append(svg("text", { class: "name", x: (edge.left + width - edge.right) / 2, y: height - 4, "text-anchor": "middle" }, xTitle));
  grid.append(svg("text", { class: "name", x: 4, y: 12 }, yTitle));
  const body = svg("g", { class: "body" });
  root.append(grid, body);
  return { root, body, x, y, width, height, edge };
}

// What is near the pointer, or next by the arrow keys, is told in a tip; Enter or a click follows its address.
export function inspect(host, root, points) {
  if (!points.length) return;
  const tip = html("div", { class: "tip", hidden: "" });
  const ring = svg("circle", { class: "ring", r: 6, visibility: "hidden" });
  root.append(ring);
  host.append(tip);
  root.setAttribute("tabindex", "0");
  let at = -1;
  const show = (index) => {
    at = index;
    const point = points[index];
    ring.setAttribute("cx", point.x);
    ring.setAttribute("cy", point.y);
    ring.setAttribute("visibility", "visible");
    place(host, tip, point.text, point.x, point.y);
    root.classList.toggle("follows", Boolean(point.href));
  };
  const hide = () => {
    at = -1;
    tip.hidden = true;
    ring.setAttribute("visibility", "hidden");
  };
  const follow = () => at >= 0 && points[at].href && location.assign(points[at].href);
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    let [nearest, distance] = [-1, 900];
    points.forEach((point, index) => {
      const far = (point.x - left) ** 2 + (point.y - top) ** 2;
      if (far < distance) [nearest, distance] = [index, far];
    });
    if (nearest >= 0) show(nearest);
    else hide();
  });
  root.addEventListener("pointerleave", hide);
  root.addEventListener("blur", hide);
  root.addEventListener("click", follow);
  root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) show((at + step + points.length) % points.length);
    else if (event.key === "Enter") follow();
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
  });
}

export function place(host, tip, text, left, top) {
  tip.textContent = text;
  tip.hidden = false;
  const room = host.clientWidth - tip.offsetWidth - 4;
  tip.style.left = `${Math.max(4, Math.min(room, left + 12))}px`;
  tip.style.top = `${Math.max(0, top - tip.offsetHeight - 8)}px`;
}

export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// A little room beyond the outermost values.
export function padded([low, high], isLog) {
  if (isLog && low > 0) return [low / (high / low) ** 0.04, high * (high / low) ** 0.04];
  const room = (high - low) * 0.04 || Math.abs(high) * 0.04 || 1;
  return [low - room, high + room];
}
