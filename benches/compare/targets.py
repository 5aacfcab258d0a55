"""The proxies: how each is configured and started as a guard, as a plain proxy, and as one for large images."""

import re
import subprocess
import urllib.request
from pathlib import Path

from install import envoy_binary
from rig import Failure, HERE, fill, free_port, is_listening, raise_file_limit, until

PEERS = HERE / "peers"
# a client and an upstream connection each for 10,000 clients, or as many as may be
FILES = raise_file_limit(24200)
CLIENTS = (FILES - 200) // 2


class Target:
    """A proxy that runs."""

    def __init__(self, rig, name, role, keys, workers=1, keepalive=1024, entries=200000, owner_time="60s",
                 more=""):
        self.rig, self.name, self.role = rig, name, role
        # what the gate's configuration has besides
        self.more = more
        self.folder = rig.folder / f"{name}-{role}-{workers}-{free_port()}"
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.port, self.admin = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = self.folder / "access.log"
        stub_host, stub_port = rig.stub_address.split(":")
        self.values = {
            "DIR": self.folder, "PEERS": PEERS, "PORT": self.port, "ADMIN": self.admin, "LOG": self.log,
            "STUB": rig.stub_address, "STUB_HOST": stub_host, "STUB_PORT": stub_port, "WORKERS": workers,
            "KEY": keys / "keys/public.pem", "KEYS": keys / "keys", "JWKS": keys / "jwks.json",
            "OWNERS": self.folder / "owners.map", "FILES": FILES, "CLIENTS": CLIENTS, "KEEPALIVE": keepalive,
            "ENTRIES": entries, "OWNER_TIME": owner_time, "BUFFER": 65536 if role == "bulk" else 16384,
            "TEMPORARY": " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in
                                  ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        }
        cores = [rig.proxy_core] if workers == 1 else [rig.proxy_core, rig.load_core]
        command = getattr(self, name)(workers)
        self.lines = self.requests = 0
        self.process = rig.start(command, cores, self.log)
        self.wait()

    def write(self, template):
        path = self.folder / template
        path.write_text(fill(PEERS / template, self.values))
        return path

    def write_peer(self, kind):
        way = "guard" if self.role == "guard" else "plain"
        return self.write(f"{self.name}-{way}.{kind}")

    def gate(self, _):
        path = self.write("gate.toml")
        path.write_text(path.read_text() + self.more)
        return [self.rig.gate, "serve", "--config", path]

    def nginx(self, _):
        return ["/usr/sbin/nginx", "-p", self.folder, "-c", self.write_peer("conf"),
                "-e", self.folder / "error.log"]

    def haproxy(self, _):
        self.values["OWNERS"].touch()
        return ["/usr/sbin/haproxy", "-db", "-f", self.write_peer("cfg")]

    def envoy(self, workers):
        return [envoy_binary(), "-c", self.write_peer("yaml"), "--concurrency", workers,
                "--disable-hot-restart", "--log-level", "warn"]

    def wait(self):
        """Waits until it answers, and for the gate until it has its own token."""
        def answers():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended: {self.complaints()}")
            if not is_listening(self.port):
                return False
            try:
                with urllib.request.urlopen(f"http://{self.address}/healthcheck", timeout=1) as answer:
                    return answer.status == 200
            except OSError:
                return False
        until(f"{self.name} as {self.role}", answers)

    def complaints(self):
        texts = [self.folder / "error.log", Path(f"{self.log}.stderr"), self.log]
        lines = [line for text in texts if text.exists() for line in text.read_text(errors="replace").splitlines()]
        return "\n  ".join(lines[-6:]) or "no reason given"

    @property
    def watch(self):
        """The process whose tree is measured."""
        return self.process.pid

    def count_log(self):
        """Counts the lines of the access log and empties it."""
        with open(self.log, "r+b") as log:
            while block := log.read(1 << 20):
                self.lines += block.count(b"\n")
            log.truncate(0)

    def stop(self):
        self.rig.stop(self.process)


def version(name, rig):
    """Returns what the proxy says it is."""
    command = {"gate": [rig.gate, "version"], "nginx": ["/usr/sbin/nginx", "-v"], "haproxy": ["/usr/sbin/haproxy", "-v"],
               "envoy": [envoy_binary(), "--version"]}[name]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    line = done.stdout.strip().splitlines()[0]
    found = re.search(r"\d+\.\d+\.\d+[^\s/]*", line)
    return found.group() if found else line
