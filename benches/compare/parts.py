"""What is measured of each target in each round."""

import subprocess
import time

from rig import Failure, memory

CONNECTIONS = 64
RATE = 12000
PLAIN_PATH = "/v2/schemas/member"
FILE_PATH = "/v2/images/4fd15022-227a-4f08-b1ad-bc1737e4e2e9/file"
IDLE_CONNECTIONS = 1000


def load(rig, target, *words):
    """Loads a target; what is not 200 is an error, and more than one in a thousand ends the comparison."""
    result = rig.ask("load", "--target", target.address, "--watch", target.watch, "--beside", rig.stub.pid, *words)
    target.requests += result["all_requests"]
    target.count_log()
    good = result["statuses"].get("200", 0)
    requests = max(result["requests"], 1)
    if good < requests * 0.999:
        raise Failure(f"{target.name}: {result['statuses']} instead of 200\n  {target.complaints()}")
    return {
        "cpu_us": result["cpu_ns"] / 1000 / requests, "rps": requests / result["seconds"],
        "p50_us": result["p50_us"], "p99_us": result["p99_us"], "p999_us": result["p999_us"],
        "load_cpu_us": result["load_cpu_ns"] / 1000 / requests, "errors": requests - good,
    }


def guarded(rig, target, options, tokens):
    return load(rig, target, "--guarded", tokens, "--connections", CONNECTIONS, "--seconds", options.seconds)


def plain(rig, target, options, _):
    return load(rig, target, "--path", PLAIN_PATH, "--connections", CONNECTIONS, "--seconds", options.seconds)


def rate(rig, target, options, tokens):
    return load(rig, target, "--guarded", tokens, "--connections", CONNECTIONS, "--seconds", options.seconds,
                "--rate", options.rate)


def bulk(rig, target, options, _):
    result = {}
    for direction in ("down", "up"):
        moved = rig.ask("transfer", "--target", target.address, "--watch", target.watch, "--path", FILE_PATH,
                        "--direction", direction, "--bytes", 1 << 30)
        gib = moved["bytes"] / (1 << 30)
        result[f"{direction}_ms"] = moved["cpu_ns"] / 1e6 / gib
        result[f"{direction}_seconds"] = moved["seconds"] / gib
    target.requests += 2
    target.count_log()
    return result


def idle_memory(rig, target, _, tokens):
    """Measures a fresh process: idle, and with connections that each have sent one member update and stay."""
    time.sleep(1)
    pss, rss = memory(target.watch)
    holder = subprocess.Popen(
        [str(rig.tool), "hold", "--target", target.address, "--connections", str(IDLE_CONNECTIONS),
         "--guarded", str(tokens)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline().strip() != "held":
            raise Failure(f"{target.name}: {holder.stderr.read().strip()}")
        time.sleep(1)
        held_pss, held_rss = memory(target.watch)
    finally:
        holder.stdin.close()
        holder.wait()
    return {"idle_pss": pss, "idle_rss": rss, "held_pss": held_pss, "held_rss": held_rss}


# name → role of the target, what is measured, whether a fresh process is needed
PARTS = {
    "guarded": ("guard", guarded, False),
    "plain": ("plain", plain, False),
    "rate": ("guard", rate, False),
    "bulk": ("bulk", bulk, False),
    "memory": ("guard", idle_memory, True),
}
