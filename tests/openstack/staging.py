"""A second real Glance beside the first: the staging that copies are sent to.

It shares Keystone with the first one and nothing else, may have other policy defaults, and stands behind a
relay that keeps every byte it was sent.
"""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request


class Relay:
    """Passes connections on to an address, and keeps what came in."""

    def __init__(self, upstream: tuple[str, int]):
        self.upstream, self.received, self.lock = upstream, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accepts nothing more."""
        self.listener.close()

    def everything(self) -> bytes:
        """Returns all bytes that came in, connection by connection."""
        with self.lock:
            return b"\n".join(b"".join(parts) for parts in self.received)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            parts: list[bytes] = []
            with self.lock:
                self.received.append(parts)
            server = socket.create_connection(self.upstream)
            threading.Thread(target=self._pump, args=(client, server, parts), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, parts: list[bytes] | None) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(65536):
                if parts is not None:
                    with self.lock:
                        parts.append(received)
                sink.sendall(received)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _configure(stack: dict, folder: pathlib.Path, url: str, new_defaults: bool) -> None:
    """Writes the first Glance's configuration, with a database and stores of its own."""
    first = pathlib.Path(stack["state"]) / "glance"
    text = (first / "glance-api.conf").read_text()
    for name in ("images", "staging", "tasks", "lock", "log"):
        (folder / name).mkdir(parents=True)
        text = text.replace(f"= {stack['state']}/{name}", f"= {folder}/{name}")
    text = re.sub(r"^connection = .*$", f"connection = sqlite:///{folder}/glance.sqlite", text, flags=re.M)
    text = re.sub(r"^enforce_new_defaults = .*$", f"enforce_new_defaults = {new_defaults}", text, flags=re.M)
    text = re.sub(r"^worker_self_reference_url = .*$", f"worker_self_reference_url = {url}", text, flags=re.M)
    # not what other tests have left in the first one's
    text = re.sub(r"^policy_file = .*$", f"policy_file = {folder}/policy.yaml", text, flags=re.M)
    (folder / "policy.yaml").touch()
    (folder / "glance-api.conf").write_text(text)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError:
        pass
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running(stack: dict, folder: pathlib.Path, new_defaults: bool):
    """Yields the relay before another Glance with these policy defaults, and the stack as it is seen there."""
    port, tools = _free_port(), pathlib.Path(sys.executable).parent
    url = f"http://127.0.0.1:{port}"
    _configure(stack, folder, url, new_defaults)
    environment = os.environ | {"OS_GLANCE_CONFIG_DIR": str(folder), "PYTHONWARNINGS": "ignore"}
    subprocess.run([tools / "glance-manage", "--config-file", folder / "glance-api.conf", "db_sync"],
                   env=environment, check=True, capture_output=True)
    # as up.sh serves the first one
    with (folder / "log" / "uwsgi.out").open("wb") as log:
        process = subprocess.Popen(
            [tools / "uwsgi", "--http-socket", f"127.0.0.1:{port}", "--module", "glance.wsgi.api:application",
             "--virtualenv", tools.parent, "--master", "--die-on-term", "--enable-threads", "--lazy-apps", "--need-app",
             "--processes", "1", "--threads", "1", "--buffer-size", "65535", "--add-header", "Connection: close"],
            env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    relay = None
    try:
        deadline = time.monotonic() + 60
        while not _answers(url + "/versions"):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log/uwsgi.out").read_text()[-2000:]
            time.sleep(0.1)
        relay = Relay(("127.0.0.1", port))
        yield relay, stack | {"glance": url, "new_defaults": new_defaults}
    finally:
        if relay:
            relay.close()
        process.terminate()
        process.wait(30)
