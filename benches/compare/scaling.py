"""How the cost grows: with workers, with connections, with what is remembered."""

import shutil

from parts import load
from rig import memory, say
from targets import CLIENTS, Target

# 10,000, unless too few files may be open
CONNECTIONS = (1, 10, 100, 1000, min(10000, CLIENTS - 100))
WORKERS = (1, 2)


def run(rig, options, names, tokens):
    """Returns one list of rows for each question."""
    return {
        "workers": workers(rig, options, names, tokens),
        "connections": connections(rig, options, names, tokens),
        "remembered": remembered(rig, options),
    }


def row(rig, target, seconds, tokens, count, **known):
    result = load(rig, target, "--guarded", tokens, "--connections", count, "--seconds", seconds)
    pss, rss = memory(target.watch)
    result = dict(known, target=target.name, connections=count, rss=rss, pss=pss, **result)
    say("  " + ", ".join(f"{key} {value:,.1f}" if isinstance(value, float) else f"{key} {value}"
                         for key, value in result.items() if key not in ("errors", "load_cpu_us", "pss")))
    return result


def workers(rig, options, names, tokens):
    """Two workers share both cores with the stub and the load: the CPU time tells, the rate does not."""
    rows = []
    for name in names:
        for count in WORKERS:
            target = Target(rig, name, "guard", tokens, workers=count)
            rows.append(row(rig, target, options.seconds, tokens, 64, workers=count))
            target.stop()
    return rows


def connections(rig, options, names, tokens):
    rows = []
    for name in names:
        target = Target(rig, name, "guard", tokens, keepalive=10000)
        for count in CONNECTIONS:
            rows.append(row(rig, target, options.seconds, tokens, count))
        target.stop()
    return rows


def remembered(rig, options):
    """As many tokens as images, each sent once before the measurement: all are in the caches then."""
    rows = []
    count = 1000
    while count <= options.remembered:
        tokens = rig.mint(f"remembered-{count}", count, count)
        target = Target(rig, "gate", "guard", tokens, entries=2_000_000, owner_time="1h")
        rows.append(row(rig, target, options.seconds, tokens, 64, remembered=count))
        target.stop()
        shutil.rmtree(tokens)
        count *= 10
    return rows
