"""A gate between stand-ins, and clients that keep count of what they are answered."""

import collections
import http.client
import json
import os
import re
import subprocess
import threading
import urllib.request

JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class Gate:
    """Runs `glance-gate demo` on ports of its own choice; the demo prints where, and the tokens."""

    def __init__(self):
        self.process = subprocess.Popen([os.environ["GATE_BIN"], "demo"], stdout=subprocess.PIPE, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        text = "".join(lines)
        self.page = re.search(r"^\s+(http://\S+/)$", text, re.MULTILINE).group(1)
        calls = re.findall(r"-X PUT http://([^/]+)(\S+).*?X-Auth-Token: ([^']+)'", text, re.DOTALL)
        (self.address, self.target, self.member), (_, _, self.owner) = calls
        self.image = self.target.split("/")[3]
        # what else it writes is nobody's business, but the pipe must not fill
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def status(self):
        with urllib.request.urlopen(self.page + "status.json", timeout=10) as reply:
            return json.load(reply)

    def update(self, token, status="accepted"):
        return self._call("PUT", self.target, {**JSON, "X-Auth-Token": token}, json.dumps({"status": status}))

    def list_images(self):
        return self._call("GET", "/v2/images", {"X-Auth-Token": self.member}, None)

    def _call(self, method, target, headers, body):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def kill_switch(self, word):
        address = self.page.removeprefix("http://").rstrip("/")
        subprocess.run([os.environ["GATE_BIN"], "kill-switch", word, "--admin", address], check=True, stdout=subprocess.DEVNULL)

    def listen(self):
        """Takes a place at the feed; it is free again when what is returned is closed."""
        return urllib.request.urlopen(self.page + "events", timeout=30)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


class Traffic:
    """Calls of all kinds, until it is told to stop; counts the answers itself."""

    def __init__(self, gate):
        self.gate, self.counts, self.ends = gate, collections.Counter(), threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        kinds = [
            ("permitted", 200, lambda: self.gate.update(self.gate.member)),
            ("refused", 403, lambda: self.gate.update(self.gate.owner)),
            ("permitted", 200, lambda: self.gate.update(self.gate.member, "rejected")),
            ("refused", 400, lambda: self.gate.update(self.gate.member, "nonsense")),
            ("passed_through", 200, self.gate.list_images),
        ]
        while not self.ends.wait(0.02):
            for verdict, status, call in kinds:
                assert call() == status
                self.counts[verdict] += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
