"""Does staging cost the primary anything? The gate with a good one, a slow, a hung and a dead one, against none."""

import statistics
import sys
import urllib.request

from parts import CONNECTIONS, PLAIN_PATH, load
from rig import HERE, free_port, is_listening, memory, say, until
from targets import Target

# requests a second; staging can do one in a hundred of them
RATE = 5000
SLOW = RATE // 100
# what of the requests is copied: all of them, the worst there is
SHADOW = """
[shadow]
target = "http://127.0.0.1:{port}"
percent = 100
writes = ["PUT /v2/images/{{image_id}}/members/{{member_id}}"]
max_queue = {queued}
max_bytes = "{megabytes}MiB"
call_timeout = "5s"
"""
MAX_QUEUED, MAX_MEGABYTES = 10000, 16
KINDS = ("off", "good", "slow", "hung", "dead")


def start(rig, kind, tokens):
    """Starts a gate with this staging beside it."""
    port = free_port()
    if kind == "good":
        port = int(rig.stub_address.split(":")[1])
    elif kind in ("slow", "hung"):
        rig.start([sys.executable, HERE / "staging.py", port, SLOW if kind == "slow" else "hung"], [rig.load_core])
        until(f"the {kind} staging", lambda: is_listening(port))
    more = "" if kind == "off" else SHADOW.format(port=port, queued=MAX_QUEUED, megabytes=MAX_MEGABYTES)
    return Target(rig, "gate", "guard", tokens, more=more)


def counted(target):
    """Returns how many copies were compared, and how many were dropped."""
    with urllib.request.urlopen(f"http://127.0.0.1:{target.admin}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return [sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"glance_gate_shadow_{name}_total{{"))
            for name in ("compared", "dropped")]


def run(rig, options, tokens):
    """Measures each kind in turn, every other round backwards; returns rows and says them."""
    targets = {kind: start(rig, kind, tokens) for kind in KINDS}
    found = {(kind, work): [] for kind in KINDS for work in ("guarded", "plain")}
    works = {"guarded": ("--guarded", tokens), "plain": ("--path", PLAIN_PATH)}
    for number in range(options.rounds):
        for work, words in works.items():
            for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                result = load(rig, targets[kind], *words, "--connections", CONNECTIONS, "--seconds", options.seconds,
                              "--rate", RATE)
                found[kind, work].append(dict(result, pss=memory(targets[kind].watch)[0]))
    rows = []
    for work in works:
        for kind in KINDS:
            rows.append(row(work, kind, found[kind, work], found["off", work], *counted(targets[kind])))
    for target in targets.values():
        target.stop()
    return rows


def row(work, kind, results, without, compared, dropped):
    """Sums one kind up: medians, and the median of the ratios to the same round without staging."""
    def ratio(name):
        pairs = [one[name] / max(other[name], 1) for one, other in zip(results, without)]
        return statistics.median(pairs), min(pairs), max(pairs)

    median = {name: statistics.median(one[name] for one in results) for name in ("p50_us", "p99_us", "cpu_us")}
    line = {"work": work, "staging": kind, "pss": max(one["pss"] for one in results), "compared": compared,
            "dropped": dropped, **median, **{name + "_ratio": ratio(name) for name in ("p50_us", "p99_us")}}
    ratios = "  ".join("{} {:.2f} ({:.2f}-{:.2f})".format(name[:3], *line[name + "_ratio"]) for name in ("p50_us", "p99_us"))
    say(f"  {work:8} {kind:5} p50 {line['p50_us']:6.0f} us  p99 {line['p99_us']:7.0f} us  ÷ off: {ratios}  "
        f"cpu {line['cpu_us']:5.1f} us  {line['pss']:5.1f} MiB  {compared:,.0f} compared, {dropped:,.0f} dropped")
    return line
