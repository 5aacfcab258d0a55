"""Mixed load for minutes: do memory and descriptors stay flat?"""

import os
import signal
import time
from pathlib import Path

from parts import FILE_PATH, PLAIN_PATH, load
from rig import Failure, memory, say
from targets import Target

# one turn: member updates, small reads, connections that come and go, an image in each direction
LOADED_SECONDS = 4
SHORT_CONNECTIONS = 500
IMAGE_BYTES = 256 << 20
# what a later turn may have more than the early ones: allocators are not exact
SLACK_MIB = 4
SLACK_DESCRIPTORS = 20
# Longer than a connection to the upstream is kept (upstream.keepalive_timeout).
REST_SECONDS = 25


def run(rig, seconds, tokens):
    """Loads the gate until the time is over, and returns a row for each turn."""
    target = Target(rig, "gate", "guard", tokens, workers=2)
    rows = [turn(rig, target, tokens, 0)]
    before = rested(target)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        rows.append(turn(rig, target, tokens, time.monotonic() - began))
    after = rested(target)
    target.stop()
    judge(rows)
    # in between their number is that of the connections to the upstream that happen to be kept
    if after > before + SLACK_DESCRIPTORS:
        raise Failure(f"descriptors grow: {before} at rest at the beginning, then {after}")
    say(f"  at rest {before} descriptors at the beginning, {after} at the end")
    return rows


def rested(target):
    """Returns how many descriptors are left when no connection to the upstream is kept any more."""
    time.sleep(REST_SECONDS)
    return descriptors(target.watch)


def turn(rig, target, tokens, at):
    requests = 0
    for words in (("--guarded", tokens), ("--path", PLAIN_PATH)):
        result = load(rig, target, *words, "--connections", 64, "--seconds", LOADED_SECONDS)
        requests += result["rps"] * LOADED_SECONDS
    load(rig, target, "--guarded", tokens, "--connections", SHORT_CONNECTIONS, "--seconds", 0.5)
    for direction in ("down", "up"):
        rig.ask("transfer", "--target", target.address, "--watch", target.watch, "--path", FILE_PATH,
                "--direction", direction, "--bytes", IMAGE_BYTES)
    # the same configuration again: nothing may be lost, and nothing of the old generation may stay
    os.kill(target.watch, signal.SIGHUP)
    time.sleep(0.5)
    pss, rss = memory(target.watch)
    row = {"second": at, "requests": requests, "rss": rss, "descriptors": descriptors(target.watch)}
    say(f"  {at:5.0f} s  {requests:9,.0f} requests, {rss:6.1f} MiB resident, {row['descriptors']} descriptors")
    return row


def descriptors(process):
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def judge(rows):
    """Compares the last third with the one before it; the first fills caches and buffers."""
    third = len(rows) // 3
    if not third:
        return
    middle, last = rows[third:2 * third], rows[-third:]
    before, after = (max(row["rss"] for row in part) for part in (middle, last))
    if after > before + SLACK_MIB:
        raise Failure(f"memory grows: {before:.1f} MiB, then {after:.1f}")
    say(f"  flat: {after:.1f} MiB")
