"""`docs/TUTORIAL.md` before the real Keystone and Glance: its commands run as they are written, in one shell."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import openstack
import pytest

import gate as gates
import stack as stacks

TUTORIAL = gates.ROOT / "docs/TUTORIAL.md"
BUILD = "cargo build --release"
DONE = "=== the block has ended"
LONGEST = 1200  # seconds, of all blocks: the openstack command takes its time on a busy machine


def blocks() -> list[str]:
    """Returns what is marked bash, in its order."""
    return re.findall(r"^```bash\n(.*?)^```$", TUTORIAL.read_text(), re.M | re.S)


def expected(block: str) -> list[str]:
    """Returns the lines that the block must write; … stands for anything."""
    return [line.removeprefix("#> ") for line in block.splitlines() if line.startswith("#> ")]


def is_like(line: str, wanted: str) -> bool:
    """Tells whether the line is as wanted."""
    return re.fullmatch(".*".join(map(re.escape, wanted.split("…"))), line) is not None


class Shell:
    """One bash that runs block after block and ends with the first command that fails."""

    def __init__(self, environment: dict[str, str]):
        self.process = subprocess.Popen(
            ["bash", "-euo", "pipefail"], cwd=gates.ROOT, env=environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.watch = threading.Timer(LONGEST, self.close)
        self.watch.start()

    def run(self, block: str) -> list[str]:
        """Returns the lines that the block has written."""
        self.process.stdin.write(f"{{ {block}\n}} </dev/null\nprintf '\\n%s\\n' '{DONE}'\n")
        self.process.stdin.flush()
        told = []
        for line in self.process.stdout:
            if line.rstrip() == DONE:
                return told
            print(line, end="", flush=True)  # shown of a test that fails
            told.append(line.rstrip())
        raise AssertionError(f"{block}\nfailed:\n" + "\n".join(told))

    def close(self) -> None:
        """Ends the shell and what it has started."""
        self.watch.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def free_addresses(count: int) -> list[str]:
    """Returns addresses that nobody listens at."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return addresses


def forget(stack: dict) -> list[str]:
    """Removes what the tutorial makes, and returns the names of what was there."""
    admin = stack["users"]["admin"]
    connection = openstack.connect(
        auth_url=stack["keystone"] + "/v3", username="admin", password=admin["password"], project_name=admin["project"],
        user_domain_id="default", project_domain_id="default", region_name=stack["region"], load_envvars=False,
        load_yaml_config=False)
    identity, image = connection.identity, connection.image
    made = [(image.images(visibility="all"), image.delete_image), (identity.users(), identity.delete_user),
            (identity.projects(), identity.delete_project)]
    found = []
    for listed, delete in made:
        for one in [one for one in listed if (one.name or "").startswith("tutorial-")]:
            delete(one)
            found.append(one.name)
    return found


@pytest.fixture
def shell(stack, tmp_path):
    gates.build()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "glance-gate").symlink_to(gates.BINARY.resolve())
    stacks.publish(stack, stack["glance"])
    forget(stack)
    admin, (gate, for_operators) = stack["users"]["admin"], free_addresses(2)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "GLANCE_GATE_"))}
    # a binary that is named is the one under test, not what stands in the target folder
    path = f"{programs}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    started = Shell(kept | {
        "OS_AUTH_URL": stack["keystone"] + "/v3", "OS_IDENTITY_API_VERSION": "3", "OS_REGION_NAME": stack["region"],
        "OS_USERNAME": "admin", "OS_PASSWORD": admin["password"], "OS_PROJECT_NAME": admin["project"],
        "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default", "PYTHONWARNINGS": "ignore",
        "PATH": path, "GLANCE": stack["glance"], "GATE": gate, "ADMIN": for_operators, "WORK": str(tmp_path / "work")})
    yield started
    started.close()
    forget(stack)


def test_the_tutorial_works_as_it_is_written(stack, shell, tmp_path, against_itself):
    if gates.OVERRIDE or not stack["new_defaults"]:
        pytest.skip("the tutorial starts a gate of its own, before a Glance with the new policies")
    checked, steps = 0, blocks()
    for block in steps:
        if "GATE_BIN" in os.environ and BUILD in block:
            block = block.replace(BUILD, ":").replace("export PATH=$PWD/target/release:$PATH", ":")
        told = shell.run(block)
        for wanted in expected(block):
            assert any(is_like(line, wanted) for line in told), f"{block}\n{wanted}\nis not in\n" + "\n".join(told)
            checked += 1
    assert len(steps) >= 15 and checked >= 25, (len(steps), checked)
    assert not (tmp_path / "work").exists() and forget(stack) == []
