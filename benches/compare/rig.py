"""The machine: where things are, processes on their cores, ports, memory; everything is gone again at the end."""

import json
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("GLANCE_GATE_TOOLS") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glance-gate-tools")


class Failure(Exception):
    """Something that ends the comparison, told without a stack."""


def say(text=""):
    print(text, flush=True)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def raise_file_limit(wanted):
    """Allows so many open files, or as many as may be; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def until(what, condition, seconds=15):
    """Waits for a condition, and fails if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def tree(process):
    """Returns the process and all its children."""
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += tree(int(child))
    return found


def memory(process):
    """Returns the proportional and the resident memory of a process and its children, in MiB."""
    pss = rss = 0
    for each in tree(process):
        try:
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    pss += int(line.split()[1])
                elif line.startswith("Rss:"):
                    rss += int(line.split()[1])
        except OSError:
            continue
    return pss / 1024, rss / 1024


class Rig:
    """The folder of a run and the processes in it."""

    def __init__(self, tool, gate):
        self.tool = tool
        self.gate = gate
        self.processes = []
        # on a memory file system, if there is room, so that logs cost the same whatever the disk does
        memory_folder = Path("/dev/shm")
        roomy = memory_folder.is_dir() and shutil.disk_usage(memory_folder).free > 4 << 30
        self.folder = Path(tempfile.mkdtemp(prefix="glance-gate-compare-", dir=memory_folder if roomy else None))
        # nginx's worker runs as another user and must read its folder
        self.folder.chmod(0o755)
        cores = sorted(os.sched_getaffinity(0))
        self.proxy_core, self.load_core = cores[0], cores[min(1, len(cores) - 1)]
        self.stub_address = None

    def start(self, command, cores, log=None, env=None):
        """Starts a process on these cores; what it writes goes to `log`, its complaints beside it."""
        out = open(log, "ab") if log else subprocess.DEVNULL
        complaints = open(f"{log}.stderr", "ab") if log else subprocess.DEVNULL
        # it also ends if this program is killed
        pin = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", ",".join(map(str, cores))]
        process = subprocess.Popen(pin + [str(word) for word in command], stdout=out, stderr=complaints,
                                   stdin=subprocess.DEVNULL, start_new_session=True, env=env)
        self.processes.append(process)
        return process

    def start_stub(self):
        port = free_port()
        self.stub_address = f"127.0.0.1:{port}"
        self.stub = self.start([self.tool, "stub", "--listen", self.stub_address], [self.load_core])
        until("the stub", lambda: is_listening(port))

    def mint(self, name, tokens=200, images=1000):
        """Mints tokens and images into a folder of their own."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        subprocess.run([self.tool, "tokens", "--out", folder, "--tokens", str(tokens), "--images", str(images)],
                       check=True)
        return folder

    def ask(self, command, *words):
        """Runs one of the small programs on the stub's core and returns what it reports."""
        done = subprocess.run(["taskset", "-c", str(self.load_core), str(self.tool), command, *map(str, words)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failure(f"{command}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def stop(self, process):
        """Ends a process and its children, first kindly."""
        if process.poll() is None:
            children = tree(process.pid)
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                for each in children:
                    try:
                        os.kill(each, 9)
                    except ProcessLookupError:
                        continue
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def close(self):
        for process in reversed(list(self.processes)):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)


def is_listening(port):
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex(("127.0.0.1", port)) == 0


def fill(template, values):
    """Writes a configuration: `@NAME@` is replaced by the value of that name."""
    text = template.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text
