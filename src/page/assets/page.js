// The page: takes in the feed, keeps the document it tells, and shows what has changed.

import { Plot } from "/plots.js";
import { cachesTable, decisionsTable, rulesTable, settingsTable, tellKeystone, tellProbes, upstreamsTable } from "/tables.js";
import { bindTheme } from "/toggle.js";
import { NOTHING, count, dayAndTime, duration, make, mark, millis, number, percent, plain, say, timeOfDay } from "/words.js";

const STEPS = 720;
/** After how many milliseconds without a word the figures are said to be old; the feed speaks every second. */
const SILENCE = 6_000;
const RETRY = 10_000;

const place = (id) => document.getElementById(id);
let known = null;

/* ---- plots ---- */

const perSecond = (series, column) => column.map((many, index) => (series.seconds[index] > 0 ? many / series.seconds[index] : null));
const rate = (group, name) => (series) => perSecond(series, series[group][name] ?? []);
const raw = (group, name) => (series) => series[group][name] ?? [];

function hitRate(cache) {
  return (series) => {
    const hits = series.caches[`${cache}.hits`] ?? [];
    const misses = series.caches[`${cache}.misses`] ?? [];
    return hits.map((many, index) => (many + misses[index] > 0 ? many / (many + misses[index]) : null));
  };
}

const aSecond = (value) => (value === null ? NOTHING : `${number(value)}/s`);
const latency = (title, branch) => ({
  title,
  unit: "time to the end of the answer",
  kind: "lines",
  scale: "log",
  columns: [
    { name: "p50", tone: "ok", values: raw("latency", `${branch}.p50`) },
    { name: "p90", tone: "accent", values: raw("latency", `${branch}.p90`) },
    { name: "p99", tone: "bad", values: raw("latency", `${branch}.p99`) },
  ],
  format: millis,
  tick: millis,
  empty: "None in this time.",
});

const plotOptions = [
  {
    title: "Requests by verdict",
    unit: "requests a second",
    kind: "stack",
    scale: "linear",
    columns: [
      { name: "passed through", tone: "quiet", values: rate("verdicts", "passed_through") },
      { name: "permitted", tone: "ok", values: rate("verdicts", "permitted") },
      { name: "asked of Glance", tone: "accent", values: rate("verdicts", "asked") },
      { name: "would refuse", tone: "warn", values: rate("verdicts", "would_refuse") },
      { name: "refused", tone: "bad", values: rate("verdicts", "refused") },
    ],
    format: aSecond,
    tick: aSecond,
    empty: "No requests in this time. Point clients, or a load balancer, at the gate.",
  },
  {
    title: "Answers by status",
    unit: "answers a second",
    kind: "stack",
    scale: "linear",
    columns: [
      { name: "2xx", tone: "ok", values: rate("statuses", "2xx") },
      { name: "3xx", tone: "accent", values: rate("statuses", "3xx") },
      { name: "4xx", tone: "warn", values: rate("statuses", "4xx") },
      { name: "5xx", tone: "bad", values: rate("statuses", "5xx") },
    ],
    format: aSecond,
    tick: aSecond,
    empty: "No answers in this time.",
  },
  latency("Time of member updates", "member_update"),
  latency("Time of everything else", "passthrough"),
  {
    title: "Cache hit rates",
    unit: "part of all look-ups",
    kind: "lines",
    scale: "part",
    columns: [
      { name: "tokens", tone: "accent", values: hitRate("token") },
      { name: "owners", tone: "ok", values: hitRate("ownership") },
    ],
    format: percent,
    tick: (value) => `${value * 100} %`,
    empty: "No look-ups in this time.",
  },
  {
    title: "Questions to neighbours",
    unit: "questions a second",
    kind: "lines",
    scale: "linear",
    least: 0.2,
    columns: [
      { name: "Glance", tone: "ok", values: rate("neighbours", "glance.answered") },
      { name: "Keystone", tone: "accent", values: rate("neighbours", "keystone.answered") },
      { name: "Glance failed", tone: "bad", values: rate("neighbours", "glance.failed") },
      { name: "Keystone failed", tone: "warn", values: rate("neighbours", "keystone.failed") },
    ],
    format: aSecond,
    tick: aSecond,
    empty: "Nobody was asked in this time.",
  },
];

const plots = plotOptions.map((options) => new Plot({ ...options, onPoint: (index) => pointAt(index) }));

function span() {
  return Number(document.querySelector("input[name=span]:checked").value);
}

function drawPlots() {
  const { series } = known;
  const to = series.at.at(-1) ?? known.clock.now;
  for (const plot of plots) plot.update(series, to - span(), to);
  const slider = place("moment");
  const isLatest = slider.value === slider.max;
  mark(slider, "max", Math.max(0, series.at.length - 1));
  if (isLatest) slider.value = slider.max;
}

/** Lets all plots tell of one moment; null is the latest. */
function pointAt(index) {
  for (const plot of plots) plot.point(index);
  const text = index === null ? "latest" : timeOfDay(known.series.at[index]);
  say(place("moment-text"), text);
  mark(place("moment"), "aria-valuetext", text);
  if (index !== null) place("moment").value = index;
  else place("moment").value = place("moment").max;
}

/* ---- tables ---- */

const tables = {
  rules: rulesTable(place("rules")),
  upstreams: upstreamsTable(place("upstreams")),
  caches: cachesTable(place("caches")),
  settings: settingsTable(place("settings")),
  refusals: decisionsTable(place("refusals"), "Latest refusals, answered or only told", "No member update was refused yet. One that is appears here, with a link that explains it."),
  disagreements: decisionsTable(place("disagreements"), "Latest disagreements of gate and Glance", "None. Rules that observe, and calls that are permitted, are compared with Glance's answer; what differs appears here."),
};

function showRules() {
  const all = place("rules-all").checked;
  const shown = known.rules.filter((rule) => all || rule.enforced + rule.observed + rule.agreements + rule.disagreements > 0);
  shown.sort((left, right) => right.hour - left.hour || left.reason.localeCompare(right.reason));
  tables.rules.update(shown, "No rule has said no since the gate started.");
  const { agreements, disagreements } = known.comparison.permitted;
  const told = agreements + disagreements === 0
    ? "No call that the gate let pass was compared with Glance's answer yet."
    : `Glance was of the gate's mind about ${count(agreements)} of the ${count(agreements + disagreements)} calls that it let pass.`;
  say(place("permitted"), told);
}

function showSettings() {
  const words = place("settings-find").value.trim().toLowerCase();
  const changed = place("settings-changed").checked;
  const fits = (setting) =>
    (!changed || setting.origin !== "default") && `${setting.section}.${setting.key} ${setting.value}`.toLowerCase().includes(words);
  const empty = known.settings.length === 0
    ? "This gate was started without a configuration file: all keys are at their defaults or were set by the program."
    : words !== "" ? "No key fits. Clear the search, or show the defaults too." : "Every key is at its default.";
  tables.settings.update(known.settings.filter(fits), empty);
}

/* ---- tiles, badges, identity ---- */

const tiles = new Map();

function tile(name, value, note, tone = null) {
  let shown = tiles.get(name);
  if (!shown) {
    shown = { value: make("dd", { class: "tile-value" }), note: make("dd", { class: "tile-note" }) };
    place("tiles").append(make("div", { class: "tile" }, make("dt", {}, name), shown.value, shown.note));
    tiles.set(name, shown);
  }
  say(shown.value, value);
  mark(shown.value, "data-tone", tone);
  say(shown.note, note);
}

function showTiles() {
  const { minute, five_minutes: five, hour, in_flight, connections } = known.traffic;
  const part = (many) => (hour.requests > 0 ? `${percent(many / hour.requests)} of the hour` : "none in the last hour");
  const updates = five.latency.member_update;
  const tokens = known.caches.find((cache) => cache.name === "token");
  const { agreements, disagreements } = known.comparison.all;
  const compared = agreements + disagreements;
  tile("Requests/s", number(minute.seconds > 0 ? minute.requests / minute.seconds : 0), `${count(hour.requests)} in the hour`);
  tile("Under way", count(in_flight), `${count(connections)} ${connections === 1 ? "connection" : "connections"}`);
  tile("Refused", count(hour.verdicts.refused), part(hour.verdicts.refused), hour.verdicts.refused > 0 ? "bad" : null);
  tile("Would refuse", count(hour.verdicts.would_refuse), part(hour.verdicts.would_refuse), hour.verdicts.would_refuse > 0 ? "warn" : null);
  tile("5xx answers", count(hour.statuses["5xx"]), part(hour.statuses["5xx"]), hour.statuses["5xx"] > 0 ? "bad" : null);
  tile("Update p50", millis(updates.p50_ms), updates.count > 0 ? `p99 ${millis(updates.p99_ms)}` : "none in five minutes");
  tile("Token cache hits", percent(tokens?.hit_rate ?? null), "in five minutes");
  tile("Disagreements", count(disagreements), compared > 0 ? `of ${count(compared)} compared` : "none compared yet", disagreements > 0 ? "bad" : null);
}

function badge(id, text, tone) {
  const shown = place(id);
  say(shown, text);
  mark(shown, "data-tone", tone);
  shown.hidden = false;
}

/** Tells those who listen to a screen reader; only what they would want to be interrupted for. */
let announced = "";
function announce() {
  const words = [];
  words.push(known.readiness.is_ready ? "The gate is ready." : "The gate is not ready.");
  if (known.kill_switch.is_on) words.push("The kill switch is on.");
  const sick = known.upstreams.filter((upstream) => !upstream.is_healthy || upstream.breaker !== "closed").length;
  if (sick > 0) words.push(`${sick} of ${known.upstreams.length} upstreams are out.`);
  const text = words.join(" ");
  if (text !== announced) say(place("announcer"), text);
  announced = text;
}

function showState() {
  badge("ready", known.readiness.is_ready ? "Ready" : "Not ready", known.readiness.is_ready ? "ok" : "bad");
  if (known.kill_switch.is_on) badge("mode", `Kill switch on, held by ${known.kill_switch.held_by.join(" and ")}`, "bad");
  else if (known.gate.enforcement === "observe") badge("mode", "Observing", "warn");
  else badge("mode", known.gate.enforcement === "enforce" ? "Enforcing" : plain(known.gate.enforcement), "ok");
  announce();
}

function showIdentity() {
  const { gate, clock } = known;
  const refused = gate.reloads_refused > 0 ? `, ${count(gate.reloads_refused)} reloads refused` : "";
  say(place("identity"), `${gate.version} at ${gate.listen} · profile ${gate.profile} · configuration ${gate.revision}, generation ${gate.generation}${refused} · up ${duration(clock.uptime_s)} since ${dayAndTime(gate.started)}`);
}

/** What is shown anew when a section of the document has changed. */
const showers = {
  clock: [showIdentity],
  gate: [showIdentity, showState],
  readiness: [showState, () => tellProbes(place("probes"), known.readiness.probes)],
  kill_switch: [showState],
  traffic: [showTiles],
  rules: [showRules],
  comparison: [showRules, showTiles],
  upstreams: [() => tables.upstreams.update(known.upstreams), showState],
  keystone: [() => tellKeystone(place("keystone"), known.keystone)],
  caches: [() => tables.caches.update(known.caches), showTiles],
  refusals: [() => tables.refusals.update(known.refusals)],
  disagreements: [() => tables.disagreements.update(known.disagreements)],
  settings: [showSettings],
  series: [drawPlots],
};

function show(sections) {
  const todo = new Set(sections.flatMap((section) => showers[section] ?? []));
  for (const work of todo) work();
}

/* ---- the feed ---- */

let heard = 0;
let source = null;

function isHeard() {
  heard = Date.now();
  showFresh("Live", "ok");
}

/** Says that the figures are of now. */
function showFresh(word, tone) {
  badge("live", word, tone);
  place("stale").hidden = true;
  mark(document.body, "data-stale", false);
}

function takeAll(told) {
  const isFirst = known === null;
  known = told;
  if (isFirst && known.clock.uptime_s < 600) showSpan(600);
  show(Object.keys(showers));
}

function showSpan(seconds) {
  document.querySelector(`input[name=span][value="${seconds}"]`).checked = true;
}

function takeStep(step) {
  append(known.series, step);
  drawPlots();
}

/** Puts a step behind the others, in every column, and drops the one of an hour ago. */
function append(columns, step) {
  for (const [name, values] of Object.entries(step)) {
    if (!Array.isArray(values)) {
      append((columns[name] ??= {}), values);
      continue;
    }
    const column = (columns[name] ??= []);
    column.push(...values);
    column.splice(0, Math.max(0, column.length - STEPS));
  }
}

function listen() {
  source?.close();
  source = new EventSource("/events");
  const on = (name, take) =>
    source.addEventListener(name, (event) => {
      isHeard();
      take(JSON.parse(event.data));
    });
  on("status", takeAll);
  on("change", (changed) => {
    Object.assign(known, changed);
    show(Object.keys(changed));
  });
  on("step", takeStep);
  source.addEventListener("error", () => {
    isLost();
    // refused: all places are taken, or the gate is another one now
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY);
  });
}

/** Says that the figures are old. */
function isLost() {
  badge("live", "Not live", "bad");
  const text = known === null
    ? "The gate does not answer. Trying again."
    : `The feed is lost: these figures are as of ${timeOfDay(heard / 1000)}. Trying again.`;
  say(place("stale"), text);
  place("stale").hidden = false;
  mark(document.body, "data-stale", true);
}

/** Reads the document when there is no place to listen. */
async function poll() {
  if (Date.now() - heard < SILENCE) return;
  isLost();
  if (source.readyState !== EventSource.CLOSED) return;
  try {
    const reply = await fetch("/status.json", { cache: "no-store" });
    if (!reply.ok) return;
    takeAll(await reply.json());
    heard = Date.now();
    showFresh("Every 10 s", "warn");
  } catch {
    // the banner says so already
  }
}

/* ---- begin ---- */

place("plots").append(...plots.map((plot) => plot.figure));
place("rules-all").addEventListener("change", () => known && showRules());
place("settings-changed").addEventListener("change", () => known && showSettings());
place("settings-find").addEventListener("input", () => known && showSettings());
place("moment").addEventListener("input", (event) => {
  if (known) pointAt(event.target.value === event.target.max ? null : Number(event.target.value));
});
for (const choice of document.querySelectorAll("input[name=span]")) choice.addEventListener("change", () => known && drawPlots());
bindTheme(place("theme"));
listen();
setInterval(poll, RETRY / 2);
