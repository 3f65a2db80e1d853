"use strict";
// a figure is made when it comes into sight: a report has dozens
(function () {
  const dataOf = (id) => JSON.parse(document.getElementById(id).textContent);
  const NARROW = 560;
  const cut = (text, length) => {
    const signs = String(text).match(/&\w+;|[^]/gu) || [];
    const end = Math.floor(length / 2);
    return signs.length <= length ? signs.join("") : signs.slice(0, length - end - 1).join("") + "…" + signs.slice(-end).join("");
  };
  // for a telephone: legends and colour bars above the panels, one panel in a row, and short names on the axes
  const narrowed = (figure, element) => {
    figure.data.forEach((trace) => trace.name && (trace.name = cut(trace.name, 40)));
    const layout = figure.layout, above = { orientation: "h", x: 0, xanchor: "left", y: 1.01, yanchor: "bottom" };
    const names = figure.data.flatMap((trace) => [trace.name, ...(trace.x || []), ...(trace.y || [])]).filter((each) => typeof each === "string");
    const alias = Object.fromEntries(names.map((each) => [each, cut(each, 16)]));
    const axes = (kind) => Object.keys(layout).filter((key) => key.startsWith(kind));
    [...axes("xaxis"), ...axes("yaxis")].forEach((key) => {
      layout[key].labelalias = alias;
      if (layout[key].title) layout[key].title.text = cut(layout[key].title.text, 34);
    });
    const across = axes("xaxis"), down = axes("yaxis");
    if (across.length > 1 && across.some((key) => layout[key].domain[0] > 0)) {
      layout.height = 330 * across.length;
      const height = 0.7 / across.length, step = (1 - height) / (across.length - 1);
      across.forEach((key, index) => {
        layout[key].domain = [0, 1];
        layout[down[index]].domain = [Math.max(0, 1 - index * step - height), 1 - index * step];
      });
    }
    layout.margin = { ...layout.margin, l: 40, r: 30 };
    layout.legend = { ...above, font: { size: 11 } };
    figure.data.forEach((trace) => {
      const bars = [trace.colorbar, trace.line && trace.line.colorbar, trace.marker && trace.marker.colorbar];
      bars.filter(Boolean).forEach((bar) => Object.assign(bar, above, { thickness: 10 }));
    });
    // parallel coordinates need room, and are moved sideways under the finger
    (layout.annotations || []).forEach((each) => (each.text = cut(each.text, 12)));
    if (layout.annotations) {
      layout.width = Math.max(element.clientWidth, 100 * layout.xaxis.ticktext.length);
      element.classList.add("is-wide");
    }
  };
  const draw = (element) => {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "1";
    const figure = dataOf(element.dataset.figure), isNarrow = element.clientWidth < NARROW;
    if (isNarrow) narrowed(figure, element);
    Plotly.newPlot(element, figure.data, figure.layout,
      { responsive: true, displaylogo: false, ...(isNarrow && { displayModeBar: false }) });
  };
  const plots = document.querySelectorAll(".plot");
  if ("IntersectionObserver" in window) {
    const seen = new IntersectionObserver(
      (entries) => entries.forEach((entry) => entry.isIntersecting && draw(entry.target)), { rootMargin: "400px" });
    plots.forEach((element) => seen.observe(element));
  } else {
    plots.forEach(draw);
  }
  window.addEventListener("beforeprint", () => plots.forEach(draw));

  const holder = document.getElementById("trial-table");
  if (!holder) return;
  const table = dataOf("trial-data");
  const PAGE = 50;
  let column = table.sorted, isDescending = table.descending, page = 0, wanted = "", state = "";
  const texts = table.rows.map((row) => row.map((cell) => (cell === null ? "" : String(cell))).join("\n").toLowerCase());
  const make = (name, text) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const compare = (a, b) => {
    const x = table.rows[a][column], y = table.rows[b][column];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return isDescending ? -order : order;
  };
  const shown = (cell) =>
    cell === null ? "" : typeof cell === "number" && !Number.isInteger(cell) ? Number(cell.toPrecision(5)).toString() : String(cell);
  const controls = make("div");
  controls.className = "controls";
  const search = make("input");
  search.type = "search";
  search.placeholder = "text in a row";
  search.setAttribute("aria-label", "only rows with this text");
  const states = make("select");
  states.setAttribute("aria-label", "state");
  states.append(new Option("all states", ""), ...table.states.map((name) => new Option(name, name)));
  const before = make("button", "previous"), after = make("button", "next"), told = make("span");
  controls.append(search, states, before, after, told);
  const scroll = make("div");
  scroll.className = "scroll";
  holder.append(controls, scroll);
  const render = () => {
    const rows = table.rows.map((_, index) => index).filter((index) =>
      (!state || table.rows[index][table.state] === state) && (!wanted || texts[index].includes(wanted)));
    rows.sort(compare);
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const element = make("table"), head = make("tr");
    table.columns.forEach((name, index) => {
      const cell = make("th"), button = make("button", name + (index === column ? (isDescending ? " ▾" : " ▴") : ""));
      button.addEventListener("click", () => {
        isDescending = index === column ? !isDescending : false;
        column = index;
        render();
      });
      cell.setAttribute("aria-sort", index === column ? (isDescending ? "descending" : "ascending") : "none");
      cell.append(button);
      head.append(cell);
    });
    const body = make("tbody"), top = make("thead");
    top.append(head);
    rows.slice(page * PAGE, page * PAGE + PAGE).forEach((index) => {
      const line = make("tr");
      table.rows[index].forEach((cell) => {
        const part = make("td", shown(cell));
        if (typeof cell === "number") part.className = "number";
        line.append(part);
      });
      body.append(line);
    });
    element.append(top, body);
    scroll.replaceChildren(element);
    told.textContent = rows.length + " of " + table.rows.length + " trials, page " + (page + 1) + " of " + pages;
    before.disabled = page === 0;
    after.disabled = page === pages - 1;
  };
  search.addEventListener("input", () => { wanted = search.value.toLowerCase(); page = 0; render(); });
  states.addEventListener("change", () => { state = states.value; page = 0; render(); });
  before.addEventListener("click", () => { page -= 1; render(); });
  after.addEventListener("click", () => { page += 1; render(); });
  render();
})();
