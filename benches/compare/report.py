"""The figures as a table to read and a file to keep."""

import json
import time
from statistics import median

import plot

# part → (key, what it is, how it is printed), the first of each is what ratios are made of
FIGURES = {
    "guarded": [("cpu_us", "CPU µs a request", "{:.1f}"), ("rps", "requests/s", "{:,.0f}"),
                ("p99_us", "p99 µs", "{:,.0f}")],
    "plain": [("cpu_us", "CPU µs a request", "{:.1f}"), ("rps", "requests/s", "{:,.0f}"),
              ("p99_us", "p99 µs", "{:,.0f}")],
    "rate": [("p99_us", "p99 µs", "{:,.0f}"), ("p50_us", "p50 µs", "{:,.0f}"), ("p999_us", "p99.9 µs", "{:,.0f}"),
             ("cpu_us", "CPU µs a request", "{:.1f}"), ("rps", "requests/s", "{:,.0f}")],
    "bulk": [("down_ms", "CPU ms a GiB down", "{:,.0f}"), ("up_ms", "CPU ms a GiB up", "{:,.0f}"),
             ("down_seconds", "s a GiB down", "{:.2f}"), ("up_seconds", "s a GiB up", "{:.2f}")],
    "memory": [("held_pss", "PSS MiB, 1,000 idle connections", "{:.1f}"), ("idle_pss", "PSS MiB, idle", "{:.1f}"),
               ("held_rss", "RSS MiB, 1,000 idle connections", "{:.1f}"), ("idle_rss", "RSS MiB, idle", "{:.1f}")],
}
# which figures are compared, gate to peer
COMPARED = {"guarded": ["cpu_us", "p99_us"], "plain": ["cpu_us", "p99_us"], "rate": ["p99_us"],
            "bulk": ["down_ms", "up_ms"], "memory": ["held_pss", "idle_pss"]}
TITLES = {
    "guarded": "Guarded: member updates, 64 connections, as fast as answered",
    "plain": "Plain: a small GET, 64 connections, as fast as answered",
    "rate": "Rate: member updates at a constant rate, 64 connections",
    "bulk": "Bulk: 1 GiB in one piece",
    "memory": "Memory of a fresh guard, and once 1,000 connections have each sent one member update and stay",
}


def brief(part, result):
    """Returns one round's figures on a line."""
    return ", ".join(f"{form.format(result[key])} {what}" for key, what, form in FIGURES[part])


def table(head, rows):
    rows = [head] + [["---"] * len(head)] + rows
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def part_table(part, rounds):
    """One row a target with medians, and the ratios gate to peer of each round."""
    figures = FIGURES[part]
    compared = COMPARED[part]
    words = {key: what for key, what, _ in figures}
    head = ["target"] + [what for _, what, _ in figures] + [f"gate ÷ it: {words[key]}" for key in compared]
    rows = []
    for name, results in rounds.items():
        row = [name] + [form.format(median(result[key] for result in results)) for key, _, form in figures]
        for key in compared:
            row.append(ratio_text(ratios(rounds, name, key)))
        rows.append(row)
    return table(head, rows)


def ratios(rounds, name, key):
    """Returns gate ÷ peer of each pair that was measured one after the other."""
    return [peer["gate"][key] / peer[key] for peer in rounds[name] if peer.get("gate") and peer[key]]


def ratio_text(found):
    if not found:
        return "–"
    return f"**{median(found):.2f}** ({min(found):.2f}–{max(found):.2f})"


def scaling_table(rows):
    keys = [key for key in ("target", "workers", "remembered", "connections", "cpu_us", "rps", "p50_us", "p99_us",
                            "rss") if key in rows[0]]
    names = {"cpu_us": "CPU µs a request", "rps": "requests/s", "p50_us": "p50 µs", "p99_us": "p99 µs",
             "rss": "RSS MiB", "remembered": "tokens and images"}
    show = lambda value: f"{value:,.1f}" if isinstance(value, float) and value < 100 else (
        f"{value:,.0f}" if not isinstance(value, str) else value)
    return table([names.get(key, key) for key in keys], [[show(row[key]) for key in keys] for row in rows])


def facts_text(facts):
    options = facts["options"]
    lines = [f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime(facts['began']))} UTC; {facts['cores']} cores; "
             f"{options.rounds} rounds of {options.seconds:g} s; one worker, proxy on one core, load and stub on another."]
    if options.note:
        lines.append(options.note)
    lines.append("Targets: " + "; ".join(f"{name}: {version}" for name, version in facts["versions"].items()) + ".")
    for name, reason in facts["missing"].items():
        lines.append(f"{name} is missing: {reason}.")
    for name, cases in facts["wrong"].items():
        lines.append(f"{name} was not measured, for it fails guard cases: " + "; ".join(cases) + ".")
    if facts["logged"]:
        lines.append("Access log lines a request: " +
                     ", ".join(f"{name} {share:.3f}" for name, share in facts["logged"].items()) + ".")
    return "\n".join(lines)


def kept_up(results, facts):
    """Tells of each target in how many rounds it answered as many requests a second as were due."""
    wanted = facts["options"].rate * 0.98
    return ", ".join(f"{name} did in {sum(result['rps'] >= wanted for result in found)} of {len(found)} rounds"
                     for name, found in results["rate"].items()) + "."


def load_text(results):
    costs = [result["load_cpu_us"] for part in ("guarded", "plain") for rounds in results.get(part, {}).values()
             for result in rounds]
    return f"Load generator and stub together used {median(costs):.1f} CPU µs a request." if costs else ""


def write(folder, results, grown, facts):
    """Writes report.md, results.json and plot.svg, and returns the report."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# The gate and its peers", facts_text(facts)]
    for part, rounds in results.items():
        if any(rounds.values()):
            parts += [f"## {TITLES[part]}", part_table(part, rounds)]
    if load_text(results):
        parts.append(load_text(results))
    parts.append("Medians over the rounds. A ratio is the median of the ratios of gate and peer measured one after the "
                 "other, with the lowest and the highest; below 1 the gate needs less.")
    if "rate" in results:
        parts.append("The part rate only tells latencies where a target keeps up with the rate: " + kept_up(results, facts))
    for question, rows in grown.items():
        if rows:
            parts += [f"## Scaling: {question}", scaling_table(rows)]
    text = "\n\n".join(parts) + "\n"
    (folder / "report.md").write_text(text)
    (folder / "results.json").write_text(json.dumps({"results": results, "scaling": grown}, indent=1))
    if results:
        (folder / "plot.svg").write_text(plot.draw(results))
    return text
