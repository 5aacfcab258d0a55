"""Gates under test: two or more before the same stand-ins."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time

BINARY = os.environ["GATE_BIN"]
#: Within this time a change that one gate sees is known to the other.
SOON = 1.0

TEMPLATE = """
profile = "documented"
[server]
listen = "127.0.0.1:0"
workers = 2
healthcheck_disable_file = ""
drain_timeout = "2s"
drain_grace = "0s"
[rules]
kill_switch_file = ""
[admin]
listen = "127.0.0.1:0"
[keystone_authtoken]
auth_url = "{world}/v3"
password = "planted-own-password"
token_cache_time = "300s"
[ownership]
cache_time = "300s"
[upstream]
servers = ["{world}"]
{sections}
"""


class Gate:
    """A gate that runs."""

    def __init__(self, world, folder: pathlib.Path, sections: str):
        self.world, self.folder = world, folder
        folder.mkdir(exist_ok=True)
        self.write(sections)
        self.log = folder / "gate.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([BINARY, "serve", "--config", folder / "gate.toml"], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.main, self.admin = (self.listens("main"), self.listens("admin"))
        self.client = None

    def write(self, sections: str) -> None:
        path = self.folder / "gate.toml"
        path.touch(mode=0o600)
        path.write_text(TEMPLATE.format(world=self.world.url, sections=sections))

    def lines(self) -> list[dict]:
        whole = self.log.read_text(errors="replace").rpartition("\n")[0]
        events = (json.loads(line) for line in whole.splitlines() if line.startswith("{"))
        return [event | (event.get("fields") or {}) for event in events]

    def listens(self, listener: str) -> str:
        def find():
            told = [line["address"] for line in self.lines()
                    if line.get("message") == "listening" and line.get("listener") == listener]
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            return told and told[0]
        return until(f"it says where {listener} listens", find)

    def call(self, method: str, path: str, token: str, body: str = "") -> int:
        """Returns the status of the answer; one connection is kept."""
        for attempt in (0, 1):
            if not self.client:
                self.client = http.client.HTTPConnection(self.main, timeout=10)
            try:
                kind = ("application/openstack-images-v2.1-json-patch" if method == "PATCH" else "application/json")
                self.client.request(method, path, body, {"X-Auth-Token": token, "Content-Type": kind})
                answer = self.client.getresponse()
                answer.read()
                return answer.status
            except (http.client.HTTPException, OSError):
                self.client.close()
                self.client = None
                if attempt:
                    raise

    def accept(self, image: str, token: str, member: str = "member-project") -> int:
        return self.call("PUT", f"/v2/images/{image}/members/{member}", token, '{"status": "accepted"}')

    def patch(self, image: str, token: str) -> int:
        return self.call("PATCH", f"/v2/images/{image}", token, "[]")

    def ask(self, path: str) -> str:
        client = http.client.HTTPConnection(self.admin, timeout=10)
        try:
            client.request("GET", path)
            return client.getresponse().read().decode()
        finally:
            client.close()

    def metric(self, name: str) -> float:
        """Returns the sum of all samples that begin so."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.ask("/metrics").splitlines() if line.startswith(name))

    def stands(self, condition: str) -> bool:
        return f"[+] {condition}" in self.ask("/readyz?verbose")

    def told(self, message: str, link: str) -> int:
        """Returns how often this was logged of a link."""
        return sum(1 for line in self.lines() if line.get("link") == link and line["message"].startswith(message))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the gate does not end") from None
        text = self.log.read_text(errors="replace")
        assert code == 0, text[-2000:]
        assert "planted-" not in text.replace("planted-own-user", ""), f"a secret stands in {self.log}"
        assert "panicked" not in text, text[-3000:]


@contextlib.contextmanager
def running(world, folder: pathlib.Path, *sections: str):
    """Yields a gate for each text of sections."""
    gates = []
    try:
        for number, text in enumerate(sections):
            gates.append(Gate(world, folder / f"gate-{number}", text))
        yield gates
        for gate in (gate for gate in gates if gate.process.poll() is None):
            assert "planted-" not in gate.ask("/metrics") + gate.ask("/status.json")
    finally:
        for gate in gates:
            if gate.process.poll() is None:
                gate.stop()


def until(what: str, condition, within: float = 20.0):
    """Waits until the condition holds, and returns what it returned; it must within the time."""
    begun = time.monotonic()
    while True:
        found = condition()
        took = time.monotonic() - begun
        if found:
            assert took <= within, f"{what}: it took {took:.2f} s"
            print(f"{what}: {took * 1000:.0f} ms")
            return found
        assert took <= within, f"still not so after {within} s: {what}"
        time.sleep(0.01)


def redis_section(redis, more: str = "") -> str:
    return f'[redis]\nurl = "redis://127.0.0.1:{redis.port}"\npassword = "{redis.password}"\n{more}\n'


def notifications_section(rabbit, more: str = "") -> str:
    return f'[notifications]\ntransport_url = "{rabbit.url}"\n{more}\n'


def samples(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}.*$", text, re.M)
