"""The comparison of the gate with its peers: installs, checks that all do the same work, measures, reports."""

import argparse
import os
import signal
import sys
import time

import cases
import install
import report
import scaling
import shadow
import soak
from parts import PARTS, RATE
from rig import Failure, ROOT, Rig, say
from targets import Target, version

PEERS = ("nginx", "haproxy", "envoy")
OUT = ROOT / "target/compare"


def arguments():
    parser = argparse.ArgumentParser(prog="benches/compare/run", description="Compares the gate with its peers.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in which the targets take turns (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each is loaded in a round (3)")
    parser.add_argument("--parts", default="guarded,plain,rate,bulk,memory",
                        help="some of guarded, plain, rate, bulk, memory, scaling, shadow, or none (all but the last two)")
    parser.add_argument("--targets", default="gate,nginx,haproxy,envoy", help="some of gate, nginx, haproxy, envoy (all)")
    parser.add_argument("--rate", type=int, default=RATE, help=f"member updates a second of the part rate ({RATE})")
    parser.add_argument("--remembered", type=int, default=100_000,
                        help="up to how many tokens and images the part scaling goes; a million takes minutes (100000)")
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS",
                        help="load the gate alone with a mix for so long, and fail if memory or descriptors grow")
    parser.add_argument("--note", default="", help="a sentence for the report, such as what else ran meanwhile")
    parser.add_argument("--smoke", action="store_true",
                        help="one short round of guarded and plain; nothing is installed, peers only if they are there")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds, options.parts = 1, 1.0, "guarded,plain"
    options.parts = [part for part in options.parts.split(",") if part]
    options.targets = options.targets.split(",")
    for word in options.parts:
        if word not in (*PARTS, "scaling", "shadow"):
            parser.error(f"no such part: {word}")
    for word in options.targets:
        if word not in ("gate", *PEERS):
            parser.error(f"no such target: {word}")
    return options


def available(options, missing):
    """Returns the targets that can run, and notes why the others can not."""
    found = []
    for name in options.targets:
        reason = None
        if name != "gate":
            reason = install.missing(name) if options.smoke else install.install(name)
        if reason:
            missing[name] = reason
        else:
            found.append(name)
    return found


def prove(rig, names, tokens, wrong):
    """Starts each guard and returns those that answer every case as they must."""
    guards = {}
    for name in names:
        target = Target(rig, name, "guard", tokens)
        found = cases.check(target, tokens, rig.stub_address)
        if found:
            wrong[name] = found
            target.stop()
            say(f"  {name}: not measured, for it fails " + "; ".join(found))
        else:
            guards[name] = target
            say(f"  {name}: all 12 guard cases, cold and warm")
    return guards


def measure(rig, options, guards, tokens):
    """Runs the rounds; in each the gate takes turns with every peer, and every other round goes backwards."""
    results = {part: {name: [] for name in guards} for part in options.parts if part in PARTS}
    # the gate has one way for all traffic; a peer gets a configuration for each role
    running = {(name, "guard"): guard for name, guard in guards.items()}
    for part in results:
        for name in guards:
            role = PARTS[part][0]
            if (name, role) not in running:
                running[name, role] = guards[name] if name == "gate" else Target(rig, name, role, tokens)
    for number in range(options.rounds):
        for part in results:
            for pair in pairs(guards, number):
                found = {name: once(rig, options, part, running[name, PARTS[part][0]], tokens) for name in pair}
                for name, result in found.items():
                    # the gate's figures of just before or after: what else the machine does meets both
                    results[part][name].append(dict(result, gate=found.get("gate")) if name != "gate" else result)
                    say(f"  round {number + 1} {part:8} {name:8} " + report.brief(part, result))
    targets = set(running.values())
    logged = count_logs(targets) if results and not options.smoke else {}
    for target in targets:
        target.stop()
    return results, logged


def pairs(guards, number):
    """Returns who takes turns: the gate with each peer, every other round the other way about."""
    peers = [name for name in guards if name != "gate"]
    if "gate" not in guards or not peers:
        return [list(guards)]
    if number % 2 == 0:
        return [["gate", name] for name in peers]
    return [[name, "gate"] for name in reversed(peers)]


def once(rig, options, part, target, tokens):
    """Measures one part of one target, with a process of its own if the part needs a fresh one."""
    role, function, is_fresh = PARTS[part]
    if not is_fresh:
        return function(rig, target, options, tokens)
    fresh = Target(rig, target.name, role, tokens)
    try:
        return function(rig, fresh, options, tokens)
    finally:
        fresh.stop()


def count_logs(targets):
    """Returns how many lines each wrote for each request, once the last buffer is written out."""
    time.sleep(11)
    shares = {}
    for target in sorted(targets, key=lambda target: (target.name, target.role)):
        target.count_log()
        if target.requests:
            shares[f"{target.name} {target.role}"] = target.lines / target.requests
    return shares


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say("building")
    tool, gate = install.build()
    missing, wrong = {}, {}
    names = available(options, missing)
    for name, reason in missing.items():
        say(f"  {name} is missing: {reason}")
    rig = Rig(tool, gate)
    try:
        rig.start_stub()
        tokens = rig.mint("tokens")
        versions = {name: version(name, rig) for name in names}
        say("guard cases")
        guards = prove(rig, names, tokens, wrong)
        began = time.time()
        results, logged = measure(rig, options, guards, tokens) if options.parts else ({}, {})
        grown = {}
        if "scaling" in options.parts:
            say("scaling")
            grown = scaling.run(rig, options, list(guards), tokens)
        if "shadow" in options.parts:
            say("shadow")
            shadow.run(rig, options, tokens)
        if options.soak:
            say("soak")
            soak.run(rig, options.soak, tokens)
    finally:
        rig.close()
    facts = {"versions": versions, "missing": missing, "wrong": wrong, "logged": logged, "options": options,
             "began": began, "cores": os.cpu_count()}
    # a smoke test leaves the last real report alone
    folder = OUT / "smoke" if options.smoke else OUT
    text = report.write(folder, results, grown, facts)
    say()
    say(text)
    say(f"written to {folder.relative_to(ROOT)}/report.md" + (" and plot.svg" if results else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"compare: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
