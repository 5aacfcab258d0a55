"""The image: built from the last stage of its recipe, then run as a container engine would, with nothing to write."""
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import urllib.error
import urllib.request

import pytest
from conftest import DEPLOY, GATE, ROOT, eventually, free_ports, run

RECIPE = DEPLOY / "container/Containerfile"
USER = 42424


def test_the_recipe_has_no_fault_that_hadolint_knows():
    run("hadolint", "--failure-threshold", "style", RECIPE, DEPLOY / "kolla/Containerfile")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Builds the image without its first stage, which compiles; what that would give stands in a folder of its name."""
    if os.geteuid() != 0:
        pytest.skip("only root can build and run an image here: it was NOT tried")
    folder = tmp_path_factory.mktemp("image")
    run(DEPLOY / "container/rootfs", GATE, folder / "rootfs")
    first, last = RECIPE.read_text().split("\nFROM scratch\n")
    assert "deploy/container/rootfs target/release/glance-gate /rootfs" in first, "the two build the same"
    (folder / "Containerfile").write_text("FROM scratch\n" + last)
    # its own store: nothing of the machine's is touched
    buildah = ["buildah", "--storage-driver", "vfs", "--root", folder / "store", "--runroot", folder / "run"]
    run(*buildah, "build", "--format", "docker", "--isolation", "chroot",
        "--build-context", f"build={folder}", "-f", folder / "Containerfile", "-t", "glance-gate", folder)
    described = json.loads(run(*buildah, "inspect", "--type", "image", "glance-gate").stdout)
    container = run(*buildah, "from", "--pull-never", "glance-gate").stdout.strip()
    root = pathlib.Path(run(*buildah, "mount", container).stdout.strip())
    yield {"config": described["Docker"]["config"], "root": root, "folder": folder}
    run(*buildah, "umount", container)


def test_the_image_runs_without_rights_and_asks_the_gate_about_its_health(image):
    config = image["config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["/usr/bin/glance-gate"]
    assert config["Cmd"] == ["serve"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/bin/glance-gate", "healthcheck"]
    assert set(config["ExposedPorts"]) == {"9292/tcp", "9294/tcp"}
    # credentials come when it runs
    assert all(word.startswith("PATH=") for word in config["Env"])


def test_there_is_nothing_in_the_image_but_the_gate_and_what_it_needs(image):
    files = [path for path in image["root"].rglob("*") if path.is_file() and not path.is_symlink()]
    programs = {str(path.relative_to(image["root"])) for path in files if path.stat().st_mode & 0o111}
    libraries = {name for name in programs if name.startswith(("lib", "usr/lib"))}
    assert programs - libraries == {"usr/bin/glance-gate"}, "no shell, no package manager"
    assert not [path for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)]
    whole = sum(path.stat().st_size for path in files)
    assert whole < 48 * 1024 * 1024, f"{whole} bytes; half of an unoptimized binary's, and more than enough"
    beside = sum(path.stat().st_size for path in files) - (image["root"] / "usr/bin/glance-gate").stat().st_size
    assert beside < 6 * 1024 * 1024, f"{beside} bytes beside the binary"


def bundle(image, config_folder):
    """Describes the container to runc: the image's own user and command, a root that can not be written, no rights."""
    folder = image["folder"] / "bundle"
    folder.mkdir()
    run("runc", "spec", "--bundle", folder)
    spec = json.loads((folder / "config.json").read_text())
    process, config = spec["process"], image["config"]
    user, group = map(int, config["User"].split(":"))
    process.update(terminal=False, user={"uid": user, "gid": group}, args=config["Entrypoint"] + config["Cmd"],
                   noNewPrivileges=True, rlimits=[])
    process["env"] += ["GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD=x"]
    process["capabilities"] = {kind: [] for kind in process["capabilities"]}
    spec["root"] = {"path": str(image["root"]), "readonly": True}
    spec["mounts"].append({"destination": "/etc/glance-gate", "type": "bind", "source": str(config_folder),
                           "options": ["rbind", "ro"]})
    # the network of this machine: its loopback is where the stand-ins are
    spec["linux"]["namespaces"] = [space for space in spec["linux"]["namespaces"] if space["type"] != "network"]
    (folder / "config.json").write_text(json.dumps(spec))
    return folder


def ask(url, method="GET", body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_container_guards_an_image_service_and_drains(image, demo, tmp_path):
    clients, operators = free_ports(2)
    (tmp_path / "gate.toml").write_text(f"""
[server]
listen = "127.0.0.1:{clients}"
workers = 1
[admin]
listen = "127.0.0.1:{operators}"
[keystone_authtoken]
auth_url = "http://127.0.0.1:9/v3"
[upstream]
servers = ["{demo['url']}"]
""")
    (tmp_path / "gate.toml").chmod(0o644)
    tmp_path.chmod(0o755)
    state, name = image["folder"] / "runc", f"glance-gate-{os.getpid()}"
    runc = ["runc", "--root", state]
    log = image["folder"] / "log"
    with log.open("w") as out:
        command = [str(word) for word in [*runc, "run", "--bundle", bundle(image, tmp_path), name]]
        container = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        # the very command of HEALTHCHECK, within the container
        health = [*runc, "exec", name, *image["config"]["Healthcheck"]["Test"][1:]]

        def is_well():
            assert container.poll() is None, log.read_text()
            return subprocess.run([str(word) for word in health], capture_output=True).returncode == 0

        eventually("the container is well", is_well)
        pid = json.loads(run(*runc, "state", name).stdout)["pid"]
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["Uid"].split() == [str(USER)] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"
        mounts = [line.split() for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        assert "ro" in next(mount for mount in mounts if mount[4] == "/")[5].split(",")

        url = f"http://127.0.0.1:{clients}"
        status, text = ask(f"{url}/v2/images", X_Auth_Token=demo["token"])
        assert status == 200 and '"images"' in text
        status, text = ask(url + demo["path"], "PUT", b'{"status": "accepted"}', Accept="application/json",
                           Content_Type="application/json")
        assert status == 401 and "could not verify" in text, "the gate's own answer, without a token"
        status, metrics = ask(f"http://127.0.0.1:{operators}/metrics")
        assert 'reason="token_missing",mode="enforced"} 1' in metrics
        assert ask(f"http://127.0.0.1:{operators}/livez")[0] == 200
    finally:
        if container.poll() is None:
            run(*runc, "kill", name, signal.Signals.SIGTERM.name)
        code = container.wait(60)
    assert code == 0, log.read_text()
    assert '"message":"stopped"' in log.read_text()


def test_what_is_sent_to_the_builder_is_all_that_the_build_reads(tmp_path):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "what is needed is named, and nothing else is sent"
    named = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    known = set(run("git", "-C", ROOT, "ls-files", *named).stdout.splitlines())
    for name in known:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    # every target and every path dependency is there
    run("cargo", "metadata", "--locked", "--offline", "--format-version", "1", cwd=tmp_path)
    included = re.compile(r'include_(?:str|bytes)!\("([^"]+)"\)')
    for source in tmp_path.glob("src/**/*.rs"):
        for name in included.findall(source.read_text()):
            assert (source.parent / name).exists(), f"{source.relative_to(tmp_path)} includes {name}"
