// The live dashboard: polls /stats and /stats/history every five seconds and draws one replica,
// even behind a load balancer. It depends only on the shape of these two responses (openapi.json).

/** @typedef {Record<string, any>} Json */
/** @typedef {["ok" | "watch" | "bad" | "none", string]} State */
/** @typedef {{value: string, state: State, more: [string, string | number][]}} Shown */
/** @typedef {(value: number | null) => string} Format */
/** @typedef {{ticks: number[], at: (value: number) => number}} Scale from 0, the bottom, to 1 */
/** @typedef {typeof charts[0]} Chart */

const POLL_MS = 5000;
/** How many requests to send until the displayed replica responds. */
const TRIES = 8;
/** How long a replica counts as active after its last response. */
const HEARD_MS = 60_000;
/** The possible time spans of the charts, the intervals between their time labels, and their names.
 * The span grows with the server's uptime. @type {[number, number, string][]} */
const SPANS = [
  [60_000, 15_000, "Last minute"],
  [300_000, 60_000, "Last 5 minutes"],
  [900_000, 180_000, "Last 15 minutes"],
];
/** Margin in pixels, so that lines at the ends of a scale are not clipped. */
const INSET = 4;
// The same as in deploy/observability/objectives.json; a test compares them.
const OBJECTIVE = 0.999;
const APDEX_GOAL = 0.9;

// The state of the page. Times are in ms since 1970; 0 means none.
let minutes = 1;
let stats = /** @type {Json | null} */ (null);
let points = /** @type {Json[]} */ ([]);
let stepMs = POLL_MS;
/** The first of the current consecutive failures. */
let failed = 0;
let problem = "";
/** When another process began to respond. */
let replaced = 0;
/** The replicas that responded recently: host name and time. @type {Map<string, Json>} */
const heard = new Map();
/** The `instance_id` of the displayed replica, and of the one that responded last. */
let shown = "";
let latestId = "";
/** When responses last alternated between replicas. */
let alternated = 0;
/** The time that the user selected, if any. */
let moment = 0;

/** @returns {Format} */
const or = (format) => (value) => value == null ? "–" : format(value);
const number = or((value) => value.toLocaleString("en", value < 1000
  ? { maximumSignificantDigits: value < 1 ? 2 : 3 } : { maximumFractionDigits: 0 }));
// No line break between a number and its unit.
const seconds = or((value) =>
  value < 1 ? `${number(value * 1000)}\u00a0ms` : `${number(value)}\u00a0s`);
const percent = or((value) => `${(value * 100).toLocaleString("en",
  { maximumFractionDigits: value < 0.0995 ? 1 : 0 })}\u00a0%`);
const rate = or((value) => `${number(value)}/s`);
/** Rounds down, because 99.996 % is not 100 %. */
const hundredths = (value) => Math.floor(value * 100 + 1e-6) / 100;
const share = or((value) => `${hundredths(value * 100)}\u00a0%`);
const score = or((value) => hundredths(value).toFixed(2));
const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

function duration(value) {
  const [size, unit] = value < 120 ? [1, "s"] : value < 7200 ? [60, "min"]
    : value < 172800 ? [3600, "h"] : [86400, "d"];
  return `${Math.round(value / size)}\u00a0${unit}`;
}

/** @returns {State} */
function judge(known, bad, watch, words) {
  const [worst, middling, fine] = words.split(", ");
  if (!known) return ["none", "No data"];
  return bad ? ["bad", worst] : watch ? ["watch", middling] : ["ok", fine];
}

/** Title, explanation, and the content for a window.
 * @type {[string, string, (window: Json, stats: Json) => Shown][]} */
const TILES = [
  ["Request rate", "Responses per second, without health checks and this page.", (w) => ({
    value: `${number(w.requests_per_second)} /s`,
    state: w.requests ? ["ok", "Serving"] : ["none", "No requests"],
    more: [["requests", w.requests], ["in", duration(w.covered_seconds)]],
  })],
  ["Response time", "The average. p99: 99 of 100 were faster. Objective: within T.", (w, s) => ({
    value: seconds(w.mean_seconds),
    state: judge(w.requests, w.p95_seconds > s.apdex_t_seconds, w.p99_seconds > s.apdex_t_seconds,
      "Slow, Some slow, On target"),
    more: [50, 95, 99].map((p) => [`p${p}`, seconds(w[`p${p}_seconds`])]),
  })],
  ["Availability", `Requests without a 5xx. Objective: ${share(OBJECTIVE)}.`, (w) => ({
    value: share(w.availability),
    state: judge(w.requests, w.availability < 0.99, w.availability < OBJECTIVE,
      "Failing, Below target, On target"),
    more: [["failed", w.errors.server], ["of", w.requests]],
  })],
  ["Apdex", "Satisfaction: within T counts 1, within 4 T half, slower or failed 0.", (w, s) => ({
    value: `${score(w.apdex)} of 1`,
    state: judge(w.requests, w.apdex < 0.7, w.apdex < APDEX_GOAL, "Poor, Fair, Good"),
    more: [["T", seconds(s.apdex_t_seconds)], ["4 T", seconds(4 * s.apdex_t_seconds)]],
  })],
  ["Errors", "4xx: invalid request. 5xx: the server failed. Canceled: no response.", (w) => {
    const { client, server, canceled, by_code: codes } = w.errors;
    return {
      value: `${number(client + server)} errors`,
      state: judge(w.requests, w.availability < OBJECTIVE, server > 0,
        `Failing, Some failed, ${client ? "Clients’ only" : "None"}`),
      more: [["4xx", client], ["5xx", server], ["canceled", canceled],
        ...codes.map(({ code, count }) => [code, count])],
    };
  }],
  ["Connected clients", "Open connections. The server refuses those above the limit.", (w, s) => {
    const { now, peak, limit } = s.connections;
    return {
      value: `${number(now)} open`,
      state: judge(true, now > 0.95 * limit, now > 0.8 * limit, "Full, Nearly full, Room"),
      more: [[`peak in ${minutes} min`, w.connections_peak], ["peak ever", peak], ["limit", limit]],
    };
  }],
  ["CPU", "The server’s share of its limit. System: the whole machine.", (w, s) => {
    const { process, system } = w.cpu;
    return {
      value: percent(process),
      state: process < 0.8 && system > 0.95 ? ["watch", "Others busy"]
        : judge(process !== null, process > 0.95, process > 0.8, "Saturated, High, Room"),
      more: [["system", percent(system)], ["limit", `${number(s.cpu.limit_cpus)} CPU`]],
    };
  }],
];

function linear(low = 0, most = 1) {
  const rough = (most - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5].find((factor) => factor * power >= rough) ?? 10);
  const count = Math.ceil((most - low) / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => low + i * step);
  return { ticks, at: (value) => (value - low) / (count * step) };
}

/** An axis from 0 to at least `least`. */
const fromZero = (least) => (values) => linear(0, Math.max(least, ...values));
/** Zooms in on shares near 1 so that they can be distinguished. */
const toOne = (values) => linear([0.96, 0.8].find((low) => low < Math.min(...values)), 1);

/** For percentiles, which differ by powers of ten. */
function logarithmic(values) {
  const power = (value) => Math.log10(Math.max(value, 1e-5));
  const low = Math.floor(power(Math.min(...values)));
  const count = Math.max(1, Math.ceil(power(Math.max(...values))) - low);
  const ticks = Array.from({ length: count + 1 }, (_, i) => 10 ** (low + i));
  return { ticks, at: (value) => (power(value) - low) / count };
}

/** Title, unit, format, scale, series, and whether to draw bars. A series is a name, a key of the
 * points, classes, and the key to draw if it differs.
 * @type {[string, string, Format, (values: number[]) => Scale, string[][], boolean?][]} */
const CHARTS = [
  ["Request rate", "requests per second", rate, fromZero(1), [["all", "requests_per_second", "a"]]],
  ["Response time", "logarithmic scale", seconds, logarithmic, [
    ["average", "mean_seconds", "a"],
    ["p50", "p50_seconds", "c dashed"],
    ["p95", "p95_seconds", "b"],
    ["p99", "p99_seconds", "d"],
    ["T", "t", "dashed"],
  ]],
  // The bars of the 5xx stand in front of those of all errors, so the two look stacked.
  ["Errors", "per second, stacked", rate, fromZero(1), [
    ["4xx", "client_errors_per_second", "watch", "errors"],
    ["5xx", "server_errors_per_second", "bad"],
  ], true],
  ["Connected clients", "open connections", number, fromZero(4), [["open", "connections", "a"]]],
  ["CPU", "of its limit, of the machine", percent, fromZero(1), [
    ["server", "cpu_process", "a"],
    ["system", "cpu_system", "b dashed"],
  ]],
  ["Availability and Apdex", "1 is best", score, toOne, [
    ["availability", "availability", "a"],
    ["Apdex", "apdex", "d dashed"],
  ]],
];

/** @param {string} selector @param {ParentNode} parent @returns {any} */
const find = (selector, parent = document) => parent.querySelector(selector);

// These three change the page only where the content differs.
function say(node, what) {
  const words = typeof what === "number" ? number(what) : what;
  if (node.textContent !== words) node.textContent = words;
}

/** @param {Element} node @param {Json} attributes */
function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== `${value}`) node.setAttribute(name, `${value}`);
  }
}

function children(parent, count, child) {
  while (parent.childElementCount < count) parent.append(child());
  while (parent.childElementCount > count) parent.lastElementChild.remove();
  return [...parent.children];
}

function make(name, ...inside) {
  const space = /^(g|line|text|path|circle)$/.test(name) ? "2000/svg" : "1999/xhtml";
  const node = document.createElementNS(`http://www.w3.org/${space}`, name);
  node.append(...inside);
  return node;
}

/** Appends a copy of the template to its list. */
function stamp(name, title, about) {
  const node = find(`#${name}`).content.firstElementChild.cloneNode(true);
  say(find("h3", node), title);
  say(find(".about", node), about);
  find(`#${name}s`).append(node);
  return node;
}

function sayState(node, [level, word]) {
  say(node, word);
  set(node, { class: `state ${level}` });
}

/** @type {Shown} */
const LOADING = { value: "–", state: ["none", "Loading"], more: [] };
const tiles = TILES.map(([title, about]) => stamp("tile", title, about));

function showTiles() {
  const part = stats?.windows.find((one) => one.minutes === minutes);
  TILES.forEach(([, , show], i) => {
    const node = tiles[i];
    const { value, state, more } = part ? show(part, stats) : LOADING;
    const [, first, unit] = /(\S+)\s*(.*)/.exec(value);
    say(find("b", node), first);
    say(find(".value span", node), unit);
    sayState(find(".state", node), failed ? ["none", part ? "Last known" : "Unknown"] : state);
    children(find("dl", node), more.length, () => make("div", make("dt"), make("dd")))
      .forEach((row, j) => {
        say(row.children[0], more[j][0]);
        say(row.children[1], more[j][1]);
      });
  });
}

/** The state of the server, and a note about it. @returns {[State, string]} */
function condition() {
  if (failed) {
    const last = stats ? "These are its last values." : "No values yet.";
    return [["bad", `${problem} since ${clock(failed)}`], `${last} This page keeps retrying.`];
  }
  if (!stats) return [["none", "Loading"], ""];
  if (!stats.ready) return [["watch", "Not ready"], "Starting, stopping, or without a database."];
  if (stats.windows.every(({ requests }) => !requests)) {
    return [["ok", "Ready, no requests"], "Response times appear with the first request."];
  }
  return [["ok", "Ready"], replaced && !alternates() ? `Another process has responded since \
${clock(replaced)}: after a restart, or behind a load balancer.` : ""];
}

const alternates = () => alternated > Date.now() - HEARD_MS;
const name = (id) => `${heard.get(id)?.host ?? "another"} (${id.slice(-6)})`;

/** A note about a load balancer between this page and several replicas. */
function balance() {
  if (!alternates()) return "";
  const names = [...heard.keys()].sort().map(name);
  return `Responses come from ${names.length} replicas in turn: ${names.join(", ")}. This page \
shows only ${name(shown)}. To see another, open its own address. Prometheus combines all of them.`;
}

function showHead() {
  const [state, reason] = condition();
  const note = `${reason} ${balance()}`.trim();
  // Screen readers announce a new state, so it must not contain a running counter.
  sayState(find("#status"), state);
  say(find("#note"), note);
  find("#note").hidden = !note;
  find("main").classList.toggle("stale", failed > 0);
  document.title = `${state[1]} – chat-server`;
  if (!stats) return;
  const { version, commit, uptime_seconds: uptime } = stats.service;
  const { instance_id: id, host_name: host } = stats.service;
  const build = commit === "unknown" ? version : `${version} (${commit.slice(0, 7)})`;
  const seen = failed ? `last seen at ${clock(end())}` : `up ${duration(uptime)}`;
  say(find("#service"), `Replica on ${host}, ${build}, ${seen}, instance ${id}`);
  say(find("#now"), failed ? `At ${clock(end())}` : "Now");
  say(find("#span"), span()[2]);
}

const charts = CHARTS.map(([title, unit, format, scaleOf, series, bars]) => {
  const node = stamp("chart", title, unit);
  const plot = find("svg", node);
  set(plot, { "aria-label": `${title} over time` });
  for (const [name, , classes] of series) {
    const add = (place, part) => {
      set(part, { class: classes });
      find(place, node).append(part);
    };
    add("ul", make("li", `${name} `, make("b")));
    add(".data", make("path"));
    add(".dots", make("path"));
    add(".cursor", make("circle"));
  }
  const keys = series.map(([, key, , drawn]) => drawn ?? key);
  const size = { width: 0, height: 0, scale: linear() };
  return { title, node, plot, format, scaleOf, series, keys, bars, ...size };
});

const end = () => points.at(-1)?.time;
const span = () => SPANS.find(([ms]) => end() - points[0]?.time < ms) ?? SPANS.at(-1);
// In pixels, rounded to a tenth.
const x = ({ width }, time) => +((1 - (end() - time) / span()[0]) * width).toFixed(1);
const y = ({ height, scale }, value) =>
  +(INSET + (1 - scale.at(value)) * (height - 2 * INSET)).toFixed(1);

/** A line with gaps at missing values, and dots on the latest point and on isolated points between
 * two gaps. @param {Chart} chart @returns {[string, string]} */
function paths(chart, key) {
  const known = points.filter((point) => point[key] != null);
  const near = (i) => known[i + 1]?.time - known[i]?.time < 1.5 * stepMs;
  const places = known.map(({ time, [key]: value }) => `${x(chart, time)} ${y(chart, value)}`);
  if (chart.bars) {
    const bar = ({ time, [key]: value }) =>
      `M${x(chart, time - stepMs / 2)} ${y(chart, value)}V${y(chart, 0)}`;
    return [known.map(bar).join(""), ""];
  }
  const dotted = (_, i) => i === known.length - 1 || !near(i - 1) && !near(i);
  return [
    places.map((at, i) => `${near(i - 1) ? "L" : "M"}${at}`).join(""),
    key === "t" ? "" : places.filter(dotted).map((at) => `M${at}h0`).join(""),
  ];
}

/** Places a line and its label. */
function rule(group, [x1, y1, x2, y2, x, y], words) {
  set(group.children[0], { x1, y1, x2, y2 });
  set(group.children[1], { x, y });
  say(group.children[1], words);
}

/** @param {Chart} chart */
function drawAxes(chart) {
  const { format, node, width, height, scale } = chart;
  const tick = () => make("g", make("line"), make("text"));
  children(find(".grid", node), scale.ticks.length, tick).forEach((group, i) => {
    const at = y(chart, scale.ticks[i]);
    rule(group, [0, at, width, at, -8, at + 4], format(scale.ticks[i]));
  });
  const [ms, step] = span();
  children(find(".time", node), ms / step, tick).forEach((group, i) => {
    const time = (Math.floor(end() / step) - i) * step;
    const at = x(chart, time);
    rule(group, [at, 0, at, height, at, height + 18], clock(time).slice(0, step < 60_000 ? 8 : 5));
  });
}

/** @param {Chart} chart */
function draw(chart) {
  const { node, width, keys } = chart;
  if (!width || !points.length) return;
  const values = keys.flatMap((key) => points.map((point) => point[key]))
    .filter((value) => value != null);
  const measured = points.some((point) => keys.some((key) => key !== "t" && point[key] != null));
  chart.scale = values.length ? chart.scaleOf(values) : linear();
  drawAxes(chart);
  keys.forEach((key, i) => {
    const [line, dots] = paths(chart, key);
    const drawn = find(".data", node).children[i];
    set(drawn, { d: line });
    set(find(".dots", node).children[i], { d: dots });
    if (chart.bars) set(drawn, { "stroke-width": 0.9 * width * stepMs / span()[0] });
  });
  const why = points.length > 1 ? "No requests" : "First values in a few seconds";
  say(find(".empty", node), measured ? "" : why);
}

/** The index of the selected point. */
function looked() {
  const index = points.findIndex(({ time }) => time >= moment - stepMs / 2);
  return moment && index >= 0 ? index : points.length - 1;
}

/** Shows the selected time in all charts. */
function showMoment() {
  const index = looked();
  const point = points[index];
  if (!point) return;
  const when = clock(point.time);
  say(find("#moment"), moment ? `At ${when}` : "Latest values; point at a chart for earlier ones");
  const latest = (key) => points.findLast((one) => one[key] != null)?.[key];
  for (const chart of charts) {
    const { series, format, keys, node, plot, height } = chart;
    const words = series.map(([, key]) => format(moment ? point[key] : latest(key)));
    node.querySelectorAll("li b").forEach((value, i) => say(value, words[i]));
    const all = series.map(([name], i) => `${name} ${words[i]}`).join(", ");
    set(plot, {
      "aria-valuemax": points.length - 1,
      "aria-valuenow": index,
      "aria-valuetext": `${when}: ${all}`,
    });
    const [cursor, at] = [find(".cursor", node), x(chart, point.time)];
    set(cursor, { visibility: moment ? "visible" : "hidden" });
    rule(cursor, [at, 0, at, height, at, -6], when);
    cursor.querySelectorAll("circle").forEach((dot, i) => {
      const value = point[keys[i]];
      set(dot, { cx: at, cy: y(chart, value ?? 0), r: value == null ? 0 : 4 });
    });
  }
}

function look(time = 0) {
  moment = time;
  showMoment();
}

/** By how many points a key moves the selected time. */
const KEYS = {
  ArrowLeft: -1, ArrowRight: 1, PageDown: -12, PageUp: 12, Home: -1e3, End: 1e3, Escape: 0,
};

/** @param {Chart} chart */
function listen(chart) {
  const { plot } = chart;
  plot.onpointermove = plot.onpointerdown = (event) => {
    const part = (event.clientX - plot.getBoundingClientRect().left) / chart.width;
    look(end() - (1 - part) * span()[0]);
  };
  // On touch screens the selection stays until a tap elsewhere.
  plot.onpointerleave = (event) => event.pointerType === "mouse" && look();
  plot.onblur = () => look();
  plot.onkeydown = (event) => {
    const [step, last] = [KEYS[event.key], points.length - 1];
    if (step === undefined || last < 0) return;
    event.preventDefault();
    look(step && points[Math.min(Math.max(looked() + step, 0), last)].time);
  };
  new ResizeObserver(([{ contentRect: { width, height } }]) => {
    Object.assign(chart, { width, height });
    draw(chart);
    showMoment();
  }).observe(plot);
}

/** The table is not updated while it is open, so that users keep their place in it. */
function showTable() {
  if (!points.length) return;
  const row = (time, cell) => make("tr", make("th", time),
    ...charts.flatMap(({ title, format, series }) => series.map(([name, key]) =>
      cell(`${title}: ${name}`, key, format))));
  const head = row("Time", (title) => make("th", title));
  const rows = points.map((point) =>
    row(clock(point.time), (_, key, format) => make("td", format(point[key]))));
  const caption = make("caption", `As of ${clock(end())}; reopen to refresh`);
  find("table").replaceChildren(caption, make("thead", head), make("tbody", ...rows.reverse()));
}

function show() {
  showHead();
  // Only the title of a background page is visible.
  if (document.hidden) return;
  showTiles();
  charts.forEach(draw);
  showMoment();
}

async function get(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(POLL_MS) });
  if (!response.ok) throw new Error(path, { cause: `Status ${response.status}` });
  return response.json();
}

/** Sends requests until the displayed replica responds. `null` if only others do. */
async function ask(path) {
  for (let i = 0; i < TRIES; i++) {
    const response = await get(path);
    const { instance_id: id, host_name: host } = response.service ?? response;
    if (id !== latestId && heard.has(id)) alternated = Date.now();
    heard.set(id, { host, time: Date.now() });
    latestId = id;
    shown ||= id;
    if (id === shown) return response;
  }
  return null;
}

/** Both responses from one replica, because mixed ones would draw a sawtooth. Empty if only other
 * replicas respond. Changes to another replica only when this one is gone.
 * @returns {Promise<Json[]>} */
async function askBoth() {
  const begun = Date.now();
  const latest = await ask("stats");
  // Reuses the connection, which often reaches the same replica.
  const history = latest && await ask("stats/history");
  for (const [id, { time }] of heard) if (begun - time > HEARD_MS) heard.delete(id);
  if (history) return [latest, history];
  const responded = [...heard].filter(([, { time }]) => time >= begun).map(([id]) => id);
  if (heard.has(shown) && (responded.length > 1 || responded.includes(shown))) return [];
  shown = "";
  return askBoth();
}

async function poll() {
  try {
    const [latest, history] = await askBoth();
    if (latest) take(latest, history);
    failed = 0;
  } catch (error) {
    failed ||= Date.now();
    problem = error.cause ?? "Not responding";
  }
  setTimeout(poll, POLL_MS);
  show();
}

/** @param {Json} latest @param {Json} history */
function take(latest, history) {
  if (stats && stats.service.started_at !== latest.service.started_at) replaced = Date.now();
  stats = latest;
  points = history.points.map((point) => ({
    ...point,
    time: Date.parse(point.at),
    t: stats.apdex_t_seconds,
    errors: point.client_errors_per_second + point.server_errors_per_second,
  }));
  // A server that has just started has no history, but the charts need a time.
  if (!points.length) points = [{ time: Date.now() }];
  stepMs = history.step_seconds * 1000;
}

charts.forEach(listen);
find("fieldset").onchange = (event) => {
  minutes = Number(event.target.value);
  showTiles();
};
find("details").ontoggle = showTable;
document.onvisibilitychange = show;
showTiles();
poll();
