"""Starts and stops the gate under test, and reads from its log where it listens.

GATE_BIN names the binary (default: target/release/glance-gate, built with cargo
when it is missing). GATE_URL names a gate that runs already, or Glance itself.
"""
import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("GATE_BIN", ROOT / "target/release/glance-gate"))
OVERRIDE = os.environ.get("GATE_URL", "").rstrip("/")

TEMPLATE = """
profile = "{profile}"
policy_defaults = "{policy_defaults}"
enforcement = "{enforcement}"
[server]
listen = "127.0.0.1:0"
workers = 2
mount = "{mount}"
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
[keystone_authtoken]
auth_url = "{keystone}/v3"
www_authenticate_uri = "{keystone}/v3"
{login}
token_cache_time = "{token_cache_time}"
service_type = "image"
jws = "{jws}"
jws_public_key_repository = "{state}/keystone/jws/public"
[ownership]
lookup_as = "{lookup_as}"
[upstream]
servers = ["{glance}"]
[member_update]
guard = [{guard}]
[rules]
kill_switch_file = "{folder}/observe_all"
{rules}
"""
PASSWORD_LOGIN = """auth_type = "password"
username = "{username}"
password = "{password}"
user_domain_id = "default"
project_name = "{project}"
project_domain_id = "default\""""
CREDENTIAL_LOGIN = """auth_type = "v3applicationcredential"
application_credential_id = "{id}"
application_credential_secret = "{secret}\""""


def address(url: str) -> tuple[str, int]:
    """Returns host and port of the URL."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


# What must never stand in a log, an error or a metric: every password and token of the tests.
SECRETS: set[str] = set()


def assert_keeps_secrets(text: str, where: str) -> None:
    """Fails if the text holds a secret; never prints which."""
    leaks = sum(1 for secret in SECRETS if len(secret) >= 8 and secret in text)
    assert not leaks, f"{leaks} secrets stand in {where}"


class Gate:
    """A running gate: its URL, its process id (None when it is not ours), its operators' URL and its folder."""

    def __init__(self, url: str, process: subprocess.Popen | None = None, admin: str = "",
                 folder: pathlib.Path | None = None):
        self.url, self.process, self.admin, self.folder = url, process, admin, folder
        self.pid = process.pid if process else None

    def ask(self, path: str) -> str:
        """Returns what the operators' listener answers."""
        return urllib.request.urlopen(self.admin + path, timeout=10).read().decode()

    def lines(self) -> list[dict]:
        """Returns what the gate has logged so far."""
        whole = (self.folder / "gate.log").read_text(errors="replace").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def memory(self, field: str) -> int:
        """Returns a field of /proc/PID/status such as VmRSS or VmHWM, in KiB."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M).group(1))


def build() -> None:
    """Builds the binary when there is none."""
    if not BINARY.exists():
        subprocess.run(["cargo", "build", "--release", "--bin", "glance-gate"], cwd=ROOT, check=True)


def login(stack: dict, credential: dict | None = None, user: str = "glance") -> str:
    """Returns the login part of the configuration, by password or by application credential."""
    if credential:
        return CREDENTIAL_LOGIN.format(**credential)
    known = stack["users"][user]
    return PASSWORD_LOGIN.format(username=user, password=known["password"], project=known["project"])


@contextlib.contextmanager
def running(stack: dict, folder: pathlib.Path, *, profile="glance", enforcement="enforce", jws="off",
            lookup_as="caller", token_cache_time="300s", credential=None, user="glance", mount="", rules="",
            guard=("update",), text=None):
    """Yields a gate before the stack; ends it with SIGTERM and expects exit code 0. `text` is a whole configuration."""
    if OVERRIDE:
        yield Gate(OVERRIDE)
        return
    build()
    config = folder / "gate.toml"
    config.write_text(text or TEMPLATE.format(
        profile=profile, enforcement=enforcement, jws=jws, lookup_as=lookup_as,
        token_cache_time=token_cache_time, keystone=stack["keystone"], glance=stack["glance"],
        state=stack["state"], mount=mount, folder=folder, rules=rules, guard=", ".join(f'"{word}"' for word in guard), login=login(stack, credential, user),
        policy_defaults="new" if stack["new_defaults"] else "legacy"))
    config.chmod(0o600)
    with (folder / "gate.log").open("wb") as log:
        process = subprocess.Popen([BINARY, "serve", "--config", config],
                                   stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        try:
            found = _listening(process, log, folder / "gate.log")
            yield Gate("http://" + found["main"], process, "http://" + found["admin"], folder)
            metrics = urllib.request.urlopen(f"http://{found['admin']}/metrics", timeout=10).read().decode()
            assert_keeps_secrets(metrics, "the metrics")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                code = "none within 30 s of SIGTERM"
    assert code == 0, f"the gate ended with {code}; log: {folder / 'gate.log'}"
    text = (folder / "gate.log").read_text(errors="replace")
    SECRETS.update(user["password"] for user in stack["users"].values())
    assert text.count('"message":"request"') > 0 and SECRETS, "there is nothing to look at"
    assert_keeps_secrets(text, str(folder / "gate.log"))


def _listening(process: subprocess.Popen, log, path: pathlib.Path) -> dict[str, str]:
    """Returns the addresses of the listeners; goes on copying the log afterwards."""
    found, lines = {}, collections.deque(maxlen=1)

    def copy() -> None:
        for line in process.stdout:
            log.write(line)
            log.flush()
            with contextlib.suppress(ValueError, AttributeError):
                event = json.loads(line)
                fields = event | (event.get("fields") or {})
                if fields.get("message") == "listening":
                    found[fields["listener"]] = fields["address"]
            lines.append(line)

    threading.Thread(target=copy, daemon=True).start()
    deadline = time.monotonic() + 20
    while not {"main", "admin"} <= found.keys():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the gate did not say where it listens:\n{path.read_text()[-2000:]}")
        time.sleep(0.02)
    return found
