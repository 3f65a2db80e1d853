// Keeps a page up to date without a reload, and follows its filters, order and pages without leaving it.
//
// The page asks for itself again with the tag of what it shows. 304: nothing is new, and nothing was done. Otherwise
// the new page is taken over where it differs, and its charts and logs ask for theirs in the same way.

import { importance, timeline } from "./bars.js";
import { curves, history as historyChart, nothing, trial } from "./lines.js";
import { morph } from "./morph.js";
import { parallel } from "./parallel.js";
import { html } from "./plot.js";

const DRAW = { history: historyChart, curves, trial, importance, timeline, parallel };
const WITH_LOG = ["history", "curves", "trial"];
const [SOON_MS, LATER_MS, PATIENCE_MS] = [1000, 5000, 30_000];
const main = document.getElementById("main");
const follow = document.getElementById("follow");
const tags = new Map();
const drawn = new WeakMap();
const seen = new WeakSet();
let timer = null;
let turn = 0;

// What is at an address: the response, or null where the browser has it already.
async function fetched(address) {
  const headers = tags.has(address) ? { "If-None-Match": tags.get(address) } : {};
  const response = await fetch(address, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.status === 304) return null;
  const tag = response.headers.get("etag");
  if (tag) tags.set(address, tag);
  else tags.delete(address);
  return response;
}

async function refresh(address = location.href, isForced = false) {
  const mine = ++turn;
  const begun = performance.now();
  try {
    if (isForced) tags.delete(address);
    const response = await fetched(address);
    if (mine !== turn) return;
    if (response) take(await response.text());
    if (mine !== turn) return;
    await Promise.all([...charts().map(load), ...logs().map(loadLog)]);
    tell(main.dataset.running !== "0" ? "live" : "up to date", "");
  } catch (error) {
    tags.delete(address);
    tell("the dashboard does not answer; it is tried again", "away");
  }
  const isAwaited = charts().some((figure) => drawn.get(figure)?.data?.is_ready === false);
  if (mine === turn) again(Math.max(main.dataset.running !== "0" || isAwaited ? SOON_MS : LATER_MS, 4 * (performance.now() - begun)));
}

function again(after) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, after);
}

function take(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  document.title = fresh.title;
  const crumbs = fresh.querySelector(".crumbs");
  if (crumbs) morph(document.querySelector(".crumbs"), crumbs);
  morph(main, fresh.getElementById("main"));
  tick();
}

function tell(text, kind) {
  follow.textContent = text;
  follow.className = `follow ${kind}`;
}

// Links and forms that change what is filtered, sorted or chosen: the address changes, the page stays.
function go(address, { replace = false } = {}) {
  if (address !== location.href) history[replace ? "replaceState" : "pushState"]({}, "", address);
  return refresh(location.href, true);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-soft]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(link.href);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-soft]")) return;
  event.preventDefault();
  const given = new URLSearchParams();
  const [column, operator, value] = ["add", "operator", "value"].map((name) => form.elements[name]?.value);
  for (const [name, text] of new FormData(form)) if (text && !["add", "operator", "value"].includes(name)) given.append(name, text);
  if (column && value) given.append("where", `${column}${operator}${value}`);
  form.querySelectorAll("input[name=value]").forEach((input) => { input.value = ""; });
  go(addressOf(given));
});

document.addEventListener("change", (event) => {
  if (!event.target.matches("#choose input[name=trial]")) return;
  const given = new URLSearchParams(location.search);
  given.delete("trial");
  for (const number of new FormData(document.getElementById("choose")).getAll("trial")) given.append("trial", number);
  go(addressOf(given), { replace: true });
});

window.addEventListener("popstate", () => refresh(location.href, true));
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
document.addEventListener("toggle", (event) => { if (event.target.open) logs().forEach(loadLog); }, true);

function addressOf(given) {
  const text = given.toString();
  return `${location.origin}${location.pathname}${text ? `?${text}` : ""}`;
}

// Charts

function charts() {
  return [...main.querySelectorAll("[data-chart]")];
}

async function load(figure) {
  const source = figure.dataset.source;
  const state = drawn.get(figure) ?? { own: {} };
  drawn.set(figure, state);
  if (state.source !== source) tags.delete(source);
  const response = await fetched(source);
  if (!response || figure.dataset.source !== source) return;
  const text = await response.text();
  if (state.text === text && state.source === source) return;
  Object.assign(state, { source, text, data: JSON.parse(text) });
  draw(figure);
  if (!state.observer) {
    let width = figure.clientWidth;
    state.observer = new ResizeObserver(() => {
      if (Math.abs(figure.clientWidth - width) < 2) return;
      width = figure.clientWidth;
      draw(figure);
    });
    state.observer.observe(figure);
  }
}

function draw(figure) {
  const { data, own } = drawn.get(figure);
  const kind = figure.dataset.chart;
  const plot = figure.querySelector(".plot");
  const hadFocus = plot.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  const given = new URLSearchParams(location.search);
  const logged = (given.get("log") ?? "").split(",").filter(Boolean);
  const { trials, asked } = figure.dataset;
  const room = html("div", { class: "room" });
  plot.replaceChildren(controls(figure, kind, given, logged), room);
  if (data.error) nothing(room, data.error);
  else DRAW[kind](room, data, { trials, asked, log: logged.includes(kind), state: own, redraw: () => draw(figure) });
  if (hadFocus) [...plot.querySelectorAll("[aria-label]")].find((each) => each.getAttribute("aria-label") === hadFocus)?.focus();
}

function controls(figure, kind, given, logged) {
  const bar = html("div", { class: "controls" });
  if (figure.dataset.options) {
    const { metric, objective } = drawn.get(figure).data;
    const [name, current] = kind === "history" ? ["objective", objective] : ["curve", metric];
    const select = html("select", { "aria-label": `what the ${kind} show` }, ...JSON.parse(figure.dataset.options).map((each) => html("option", each === current ? { selected: "" } : {}, each)));
    select.addEventListener("change", () => { given.set(name, select.value); go(addressOf(given)); });
    bar.append(select);
  }
  if (WITH_LOG.includes(kind)) {
    const isOn = logged.includes(kind);
    const button = html("button", { type: "button", "aria-pressed": isOn, "aria-label": `logarithmic axis of ${kind}` }, "log");
    button.addEventListener("click", () => {
      const left = isOn ? logged.filter((each) => each !== kind) : [...logged, kind];
      if (left.length) given.set("log", left.join(","));
      else given.delete("log");
      history.replaceState({}, "", addressOf(given));
      draw(figure);
      go(location.href, { replace: true });
    });
    bar.append(button);
  }
  return bar;
}

// Logs: the end is followed as long as the end is seen.

function logs() {
  return [...main.querySelectorAll("[data-log]")].filter((log) => !log.closest("details:not([open])"));
}

async function loadLog(log) {
  const response = await fetched(log.dataset.log);
  if (!response?.ok) return;
  const { text } = await response.json();
  if (log.textContent === text) return;
  const isAtEnd = !seen.has(log) || log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  log.textContent = text;
  seen.add(log);
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

// Times that run

function tick() {
  for (const each of main.querySelectorAll("[data-since]")) each.textContent = lasting(Date.now() / 1000 - Number(each.dataset.since));
}

function lasting(value) {
  const whole = Math.max(0, Math.round(value));
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

for (const log of logs()) {
  log.scrollTop = log.scrollHeight;
  seen.add(log);
}
tick();
setInterval(tick, 1000);
refresh(location.href);
