// The page of differences: reads its document now and then, and shows what has changed.

import { Table } from "/tables.js";
import { bindTheme } from "/toggle.js";
import { NOTHING, count, dayAndTime, make, mark, percent, plain, say, timeOfDay } from "/words.js";

const PAUSE = 5_000;
const place = (id) => document.getElementById(id);
let heard = 0;

/* ---- words ---- */

const where = (item) => `${item.method} ${item.route}`;
const statuses = (item) => (item.primary_status === item.staging_status ? String(item.primary_status) : `${item.primary_status} → ${item.staging_status}`);
const seen = (seconds) => (Date.now() / 1000 - seconds < 43_200 ? timeOfDay(seconds) : dayAndTime(seconds));
const code = (text) => ({ text, isCode: true });
const key = (item) => [item.method, item.route, item.field, item.kind, item.primary_status, item.staging_status].join(" ");

const field = { title: "Field", cell: (item) => code(item.field) };
const at = { title: "Where", cell: where };
const kind = { title: "How", cell: (item) => plain(item.kind) };
const status = { title: "Statuses", cell: statuses };
const last = { title: "Last seen", cell: (item) => seen(item.last) };
const pairs = (name) => ({ title: "Pairs", isNumber: true, cell: (item) => count(item[name]) });
const share = { title: "Share", isNumber: true, cell: (item) => percent(item.share) };
const table = (id, options) => new Table(place(id), options);

/* ---- tables ---- */

const tables = {
  differences: table("differences", {
    caption: "What differs and counts, the most frequent first",
    columns: [field, kind, status, at, pairs("counts"), share, last],
    key,
    empty: "Nothing that counts.",
  }),
  examples: table("examples", {
    caption: "Pairs of answers that differ, the newest of each kind first",
    columns: [
      field,
      { title: "Request", cell: (item) => code(item.request_id) },
      { title: "Target", cell: (item) => code(item.target) },
      { title: "Primary", cell: (item) => code(item.primary ?? NOTHING) },
      { title: "Staging", cell: (item) => code(item.staging ?? NOTHING) },
    ],
    key: (item) => `${item.request_id} ${item.field} ${item.kind}`,
    empty: "None.",
  }),
  ignored: table("ignored", {
    caption: "Differences that a rule explains",
    columns: [field, kind, status, at, pairs("ignored"), last, { title: "Reason", cell: (item) => item.reason ?? NOTHING }],
    key,
    empty: "No rule has explained anything.",
  }),
  idle: table("idle", {
    caption: "Rules that have explained nothing, or have expired",
    columns: [
      { title: "Rule", cell: (rule) => code(rule.rule) },
      { title: "Line", isNumber: true, cell: (rule) => String(rule.line) },
      { title: "State", cell: (rule) => (rule.is_expired ? { text: "expired", tone: "warn" } : "explains nothing") },
      { title: "Ends", cell: (rule) => rule.expires ?? NOTHING },
      { title: "Reason", cell: (rule) => rule.reason },
    ],
    key: (rule) => `${rule.line}`,
    empty: "None.",
  }),
  learned: table("learned", {
    caption: "Fields that differ between two answers of one side",
    columns: [
      field, kind, at,
      { title: "Seen", isNumber: true, cell: (item) => count(item.seen) },
      { title: "Explained", isNumber: true, cell: (item) => count(item.hits) },
      { title: "State", cell: (item) => (item.is_noise ? "noise" : { text: "not often enough yet", tone: "quiet" }) },
      last,
    ],
    key: (item) => [item.method, item.route, item.field, item.kind].join(" "),
    empty: "Nothing was learned. One side must be asked twice for that.",
  }),
  noise: table("noise", {
    caption: "Fields that differ between any two Glances",
    columns: [field, kind, at, pairs("built_in"), share, last],
    key,
    empty: "Nothing yet.",
  }),
  routes: table("routes", {
    caption: "Pairs of answers by route",
    columns: [
      { title: "Where", cell: where },
      pairs("all"),
      { title: "Equal", isNumber: true, cell: (item) => count(item.equal) },
      { title: "Differ", isNumber: true, cell: (item) => (item.differs > 0 ? { text: count(item.differs), tone: "bad" } : "0") },
      { title: "Not compared", isNumber: true, cell: (item) => count(item.not_compared) },
    ],
    key: where,
    empty: "Nothing was compared yet.",
  }),
  copies: table("copies", {
    caption: "What became of copies of requests",
    columns: [
      { title: "Figure", cell: (item) => code(item.name) },
      { title: "Of", cell: (item) => Object.entries(item.labels).map(([name, value]) => `${name} ${value}`).join(", ") || NOTHING },
      { title: "Value", isNumber: true, cell: (item) => count(item.value) },
    ],
    key: (item) => `${item.name} ${JSON.stringify(item.labels)}`,
    empty: "No requests are copied.",
  }),
};

/* ---- tiles ---- */

const tiles = new Map();

function tile(name, value, note, tone) {
  if (!tiles.has(name)) {
    const [figure, words] = [make("dd", { class: "tile-value" }), make("dd", { class: "tile-note" })];
    const whole = make("div", { class: "tile" }, make("dt", {}, name), figure, words);
    place("tiles").append(whole);
    tiles.set(name, { whole, figure, words });
  }
  const { whole, figure, words } = tiles.get(name);
  say(figure, value);
  say(words, note);
  mark(whole, "data-tone", tone);
}

function badge(id, text, tone) {
  say(place(id), text);
  mark(place(id), "data-tone", tone);
}

function show(told) {
  const { compared, differences } = told;
  const that = (name) => differences.filter((item) => item[name] > 0);
  const kinds = that("counts").length;
  if (compared.all === 0) badge("verdict", "Nothing compared yet", "quiet");
  else if (compared.differs > 0) badge("verdict", `${count(kinds)} ${kinds === 1 ? "kind" : "kinds"} of difference`, "bad");
  else badge("verdict", "Nothing differs that counts", "ok");
  say(place("identity"), `Counted since ${dayAndTime(told.since)}` + (told.forgotten > 0 ? `; ${count(told.forgotten)} rare kinds are forgotten` : ""));
  const part = (many) => (compared.all > 0 ? percent(many / compared.all) : "");
  tile("Compared", count(compared.all), "pairs of answers", null);
  tile("Equal", count(compared.equal), part(compared.equal), compared.equal > 0 ? "ok" : null);
  tile("Differ", count(compared.differs), part(compared.differs), compared.differs > 0 ? "bad" : null);
  tile("Not compared", count(compared.not_compared), "bodies not kept", null);
  tile("Kinds ignored", count(that("ignored").length), "by rules with reasons", null);
  tables.differences.update(that("counts"));
  tables.examples.update(that("counts").flatMap((item) => item.examples.map((example) => ({ ...example, field: item.field, kind: item.kind }))));
  tables.ignored.update(that("ignored").sort((one, other) => other.ignored - one.ignored));
  tables.idle.update(told.rules.filter((rule) => rule.hits === 0 || rule.is_expired));
  tables.learned.update(told.learned);
  tables.noise.update(that("built_in").sort((one, other) => other.built_in - one.built_in));
  tables.routes.update(told.routes);
  tables.copies.update(told.copies);
}

/* ---- begin ---- */

async function read() {
  try {
    const reply = await fetch("/shadow.json", { cache: "no-store" });
    if (!reply.ok) throw new Error(String(reply.status));
    show(await reply.json());
    heard = Date.now();
    badge("live", "Live", "ok");
    place("stale").hidden = true;
  } catch {
    badge("live", "Not live", "bad");
    say(place("stale"), heard === 0 ? "The gate does not answer. Trying again." : `These figures are as of ${timeOfDay(heard / 1000)}. Trying again.`);
    place("stale").hidden = false;
  }
  setTimeout(read, PAUSE);
}

bindTheme(place("theme"));
read();
