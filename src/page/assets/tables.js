// Tables whose rows stay where they are while their figures change.

import { count, duration, make, mark, millis, number, percent, plain, say, timeOfDay } from "/words.js";

/** A table that is told its items again and again. */
export class Table {
  /**
   * @param options.caption what it shows, for those who can not see where it stands
   * @param options.columns [{ title, cell(item) → text or { text, tone, href, label, isCode }, isNumber }]
   * @param options.key what tells items apart
   * @param options.empty what is said instead of a table without rows
   */
  constructor(place, options) {
    this.options = options;
    this.rows = new Map();
    const heads = options.columns.map((column) => make("th", { scope: "col", class: column.isNumber ? "number" : null }, column.title));
    this.body = make("tbody");
    const table = make("table", {}, make("caption", { class: "unseen" }, options.caption), make("thead", {}, make("tr", {}, ...heads)), this.body);
    this.scroll = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.caption }, table);
    this.empty = make("p", { class: "empty" });
    place.append(this.scroll, this.empty);
  }

  update(items, empty = this.options.empty) {
    const kept = new Set();
    items.forEach((item, position) => {
      const key = this.options.key(item);
      kept.add(key);
      const row = this.rows.get(key) ?? this.#row(key);
      this.options.columns.forEach((column, place) => fill(row.cells[place], column.cell(item)));
      if (this.body.children[position] !== row) this.body.insertBefore(row, this.body.children[position] ?? null);
    });
    for (const [key, row] of this.rows) {
      if (!kept.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
    this.scroll.hidden = items.length === 0;
    this.empty.hidden = items.length > 0;
    say(this.empty, items.length > 0 ? "" : empty);
  }

  #row(key) {
    const cells = this.options.columns.map((column, place) =>
      place === 0 ? make("th", { scope: "row" }) : make("td", { class: column.isNumber ? "number" : null }));
    const row = make("tr", {}, ...cells);
    this.rows.set(key, row);
    return row;
  }
}

/** Writes a cell; only what has changed is touched. */
function fill(cell, content) {
  const { text, tone = null, href = null, label = null, isCode = false } = typeof content === "object" && content !== null ? content : { text: String(content) };
  const wanted = href !== null ? "A" : isCode ? "CODE" : "SPAN";
  let inner = cell.firstElementChild;
  if (inner?.tagName !== wanted) {
    inner = make(wanted.toLowerCase());
    cell.replaceChildren(inner);
  }
  say(inner, text);
  mark(inner, "data-tone", tone);
  mark(inner, "class", tone === null ? null : "word");
  mark(inner, "href", href);
  mark(inner, "aria-label", label);
}

const modeTones = { enforce: "ok", enforce_part: "ok", observe: "warn", off: "quiet", always: "quiet" };

function agreement(rule) {
  const compared = rule.agreements + rule.disagreements;
  if (compared === 0) return { text: "not compared yet", tone: "quiet" };
  const tone = rule.disagreements === 0 ? "ok" : "bad";
  return { text: percent(rule.agreements / compared), tone };
}

export function rulesTable(place) {
  return new Table(place, {
    caption: "Rules, with what they do and how often Glance agreed",
    key: (rule) => rule.reason,
    columns: [
      { title: "Reason", cell: (rule) => ({ text: rule.reason, isCode: true }) },
      { title: "Answers", isNumber: true, cell: (rule) => rule.status },
      { title: "Mode", cell: (rule) => ({ text: rule.setting !== rule.mode && rule.mode !== "always" ? `${plain(rule.mode)} (set to ${rule.setting})` : plain(rule.mode), tone: modeTones[rule.mode] ?? "quiet" }) },
      { title: "Last hour", isNumber: true, cell: (rule) => count(rule.hour) },
      { title: "Enforced", isNumber: true, cell: (rule) => count(rule.enforced) },
      { title: "Only told", isNumber: true, cell: (rule) => count(rule.observed) },
      { title: "Compared", isNumber: true, cell: (rule) => count(rule.agreements + rule.disagreements) },
      { title: "Disagreed", isNumber: true, cell: (rule) => ({ text: count(rule.disagreements), tone: rule.disagreements > 0 ? "bad" : null }) },
      { title: "Agreement", isNumber: true, cell: agreement },
    ],
  });
}

const verdictTones = { refused: "bad", would_refuse: "warn", permitted: "ok", asked: "accent", rule_off: "quiet" };

function ages(decision) {
  const told = [];
  if (decision.token_age_ms !== null) told.push(`token ${millis(decision.token_age_ms)}`);
  if (decision.ownership_age_ms !== null) told.push(`owner ${millis(decision.ownership_age_ms)}`);
  return told.join(", ") || "–";
}

export function decisionsTable(place, caption, empty) {
  return new Table(place, {
    caption,
    empty,
    key: (decision) => `${decision.request_id} ${decision.time}`,
    columns: [
      { title: "Time", cell: (decision) => timeOfDay(Date.parse(decision.time) / 1000) },
      { title: "Why", cell: (decision) => ({ text: "Explain", href: `/explain?request_id=${encodeURIComponent(decision.request_id)}`, label: `Explain ${decision.request_id}` }) },
      { title: "Verdict", cell: (decision) => ({ text: plain(decision.verdict), tone: verdictTones[decision.verdict] ?? "quiet" }) },
      { title: "Rule", cell: (decision) => (decision.rule === null ? "–" : { text: decision.rule, isCode: true }) },
      { title: "Gate says", isNumber: true, cell: (decision) => decision.would_answer ?? "–" },
      { title: "Glance said", isNumber: true, cell: (decision) => decision.upstream_status ?? "–" },
      { title: "Client got", isNumber: true, cell: (decision) => decision.status },
      { title: "Image", cell: (decision) => (decision.image === null ? "–" : { text: decision.image, isCode: true }) },
      { title: "Project", cell: (decision) => (decision.project === null ? "–" : { text: decision.project, isCode: true }) },
      { title: "Age of inputs", cell: ages },
    ],
  });
}

const breakerTones = { closed: "ok", half_open: "warn", open: "bad" };

function failures(outcomes, good) {
  const failed = Object.entries(outcomes).filter(([outcome, many]) => many > 0 && !good.includes(outcome));
  return failed.map(([outcome, many]) => `${count(many)} ${plain(outcome)}`).join(", ") || "none";
}

export function upstreamsTable(place) {
  return new Table(place, {
    caption: "Upstreams",
    key: (upstream) => upstream.label,
    empty: "No upstream is known yet.",
    columns: [
      { title: "Upstream", cell: (upstream) => ({ text: upstream.label, isCode: true }) },
      { title: "Health", cell: (upstream) => (upstream.is_healthy ? { text: "healthy", tone: "ok" } : { text: "fails its check", tone: "bad" }) },
      { title: "Breaker", cell: (upstream) => ({ text: plain(upstream.breaker), tone: breakerTones[upstream.breaker] ?? "quiet" }) },
      { title: "Under way", isNumber: true, cell: (upstream) => count(upstream.in_flight) },
      { title: "Connections", isNumber: true, cell: (upstream) => count(upstream.connections) },
      { title: "Answered", isNumber: true, cell: (upstream) => count(upstream.outcomes.ok ?? 0) },
      { title: "Failed", cell: (upstream) => failures(upstream.outcomes, ["ok"]) },
    ],
  });
}

export function cachesTable(place) {
  return new Table(place, {
    caption: "Caches: the last five minutes, how much they hold and for how long",
    key: (cache) => cache.name,
    columns: [
      { title: "Cache", cell: (cache) => plain(cache.name) },
      { title: "Hit rate", isNumber: true, cell: (cache) => percent(cache.hit_rate) },
      { title: "Look-ups", isNumber: true, cell: (cache) => count(cache.hits + cache.misses) },
      { title: "Entries", isNumber: true, cell: (cache) => `${count(cache.entries)} of ${count(cache.max_entries)}` },
      { title: "Kept for", isNumber: true, cell: (cache) => duration(cache.max_age_s) },
      { title: "A “no” for", isNumber: true, cell: (cache) => duration(cache.max_age_negative_s) },
    ],
  });
}

export function settingsTable(place) {
  return new Table(place, {
    caption: "Configuration in use; secrets are masked",
    key: (setting) => `${setting.section}.${setting.key}`,
    columns: [
      { title: "Key", cell: (setting) => ({ text: setting.section === "" ? setting.key : `${setting.section}.${setting.key}`, isCode: true }) },
      { title: "Value", cell: (setting) => ({ text: setting.value, isCode: true }) },
      { title: "Set by", cell: (setting) => ({ text: setting.origin, tone: setting.origin === "default" ? "quiet" : "accent" }) },
    ],
  });
}

/** Writes what is known of Keystone. */
export function tellKeystone(place, keystone) {
  const good = ["ok", "unknown_token"];
  const asked = keystone.answered + keystone.failed;
  const facts = [
    ["Address", keystone.url, null],
    ["Token of the gate's own", keystone.has_own_token ? "there" : "missing", keystone.has_own_token ? "ok" : "bad"],
    ["Questions, last five minutes", asked === 0 ? "none" : `${count(asked)}, ${percent(keystone.answered / asked)} answered`, keystone.failed > 0 ? "bad" : null],
    ["Answered since the start", count((keystone.outcomes.ok ?? 0) + (keystone.outcomes.unknown_token ?? 0)), null],
    ["Failed since the start", failures(keystone.outcomes, good), null],
  ];
  facts.forEach(([name, text, tone], position) => {
    let term = place.children[position * 2];
    if (!term) {
      term = make("dt");
      place.append(term, make("dd", {}, make("span")));
    }
    say(term, name);
    const value = place.children[position * 2 + 1].firstElementChild;
    say(value, text);
    mark(value, "data-tone", tone);
    mark(value, "class", tone === null ? null : "word");
  });
}

/** Writes the conditions of readiness. */
export function tellProbes(place, probes) {
  probes.forEach((probe, position) => {
    const entry = place.children[position] ?? place.appendChild(make("li", {}, make("span", { class: "word" }), make("span")));
    const tone = probe.passes ? "ok" : probe.is_required ? "bad" : "warn";
    say(entry.children[0], probe.passes ? "passes" : "fails");
    mark(entry.children[0], "data-tone", tone);
    say(entry.children[1], `${probe.name}${probe.is_required ? "" : " (told only)"}`);
  });
}

export { number };
