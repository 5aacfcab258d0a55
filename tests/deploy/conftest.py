"""What the tests of the deploy artefacts share: where things are, commands that must end well, and waiting."""
import os
import pathlib
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
GATE = pathlib.Path(os.environ["GATE_BIN"])
# the gate takes every variable of its prefix for a key
for name in [name for name in os.environ if name.startswith("GLANCE_GATE_")]:
    del os.environ[name]


def run(*command, ok=(0,), **more):
    """Runs a command that must end with one of these codes; returns what it wrote."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **more)
    assert done.returncode in ok, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def eventually(what, look, seconds=30):
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"it never happened that {what}"
        time.sleep(0.05)
    return found


def free_ports(count):
    """Returns ports that nobody has, below those that the kernel takes for outgoing connections."""
    held, ports = [], []
    candidate = 20000 + os.getpid() % 10000
    while len(ports) < count:
        candidate = 20000 + (candidate - 20000 + 7) % 12000
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        held.append(probe)
        ports.append(candidate)
    for probe in held:
        probe.close()
    return ports


@pytest.fixture(scope="session")
def bill():
    """The bill of materials that deploy/sbom has written."""
    return pathlib.Path(os.environ["GATE_BILL"])


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The gate between stand-ins: an image service to stand before. Returns its address, a member's call and its token."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with out.open("w") as file:
        process = subprocess.Popen([GATE, "demo"], stdout=file, stdin=subprocess.DEVNULL)
    try:
        eventually("the demo runs", lambda: "Ctrl-C ends" in out.read_text())
        lines = [line.strip() for line in out.read_text().splitlines()]
        call = next(line for line in lines if line.startswith("curl -i -X PUT"))
        token = next(line for line in lines if line.startswith("-H 'X-Auth-Token:"))
        url, path = call.split()[4].split("/v2/", 1)
        yield {"url": url, "path": "/v2/" + path, "token": token.split("'")[1].split(": ")[1]}
    finally:
        process.terminate()
        assert process.wait(30) == 0
