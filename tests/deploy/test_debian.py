"""The Debian package: made of the binary, read by lintian, installed, upgraded, removed and purged in a root of its own."""
import hashlib
import re

import pytest
from conftest import DEPLOY, GATE, ROOT, run

SCRIPT = DEPLOY / "debian/build"


@pytest.fixture(scope="module")
def package(bill, tmp_path_factory):
    # how small it is does not matter here
    return run("env", "DPKG_DEB_COMPRESSOR_LEVEL=1", SCRIPT, GATE, bill, tmp_path_factory.mktemp("package")).stdout.strip()


def dpkg(root, *words):
    """Runs dpkg on a root of its own, where no other package is, and its scripts with DPKG_ROOT."""
    return run("dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", "--force-confold", *words)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    return tmp_path


def test_lintian_finds_no_fault(package):
    run("lintian", "--allow-root", "--fail-on", "error,warning", package)


def test_the_version_is_that_of_the_program(package):
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
    assert run("dpkg-deb", "-f", package, "Version").stdout.strip() == f"{version}-1"
    depends = run("dpkg-deb", "-f", package, "Depends").stdout
    assert "libc6 (>=" in depends and "ca-certificates" in depends


def test_the_same_input_gives_the_same_package(bill, tmp_path, monkeypatch):
    monkeypatch.setenv("DPKG_DEB_COMPRESSOR_TYPE", "none")
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = run(SCRIPT, GATE, bill, tmp_path / name).stdout.strip()
        with open(path, "rb") as file:
            digests.add(hashlib.file_digest(file, "sha256").hexdigest())
    assert len(digests) == 1


def test_it_is_installed_configured_by_the_operator_upgraded_and_removed(package, root):
    dpkg(root, "-i", package)
    assert "Status: install ok installed" in dpkg(root, "-s", "glance-gate").stdout
    version = run(root / "usr/bin/glance-gate", "version").stdout.strip()
    assert version.startswith("glance-gate ")
    unit = (root / "lib/systemd/system/glance-gate.service").read_text()
    assert "/usr/bin/glance-gate serve" in unit and "/usr/local" not in unit
    assert "\nglance-gate:" in "\n" + (root / "etc/passwd").read_text()
    # nothing is started before it is configured
    assert not list((root / "etc").glob("systemd/**/glance-gate*"))

    # what is shipped only lacks the password; an operator's change outlives an upgrade
    config = root / "etc/glance-gate/gate.toml"
    bad = run(root / "usr/bin/glance-gate", "check", "--config", config, ok=(1,))
    told = [line for line in bad.stderr.splitlines() if "[keystone_authtoken]" in line]
    assert len(told) == 2 and "2 mistake(s)" in bad.stderr, "the password, and the file that it is to be in: " + bad.stderr
    password = root / "etc/glance-gate/keystone_password"
    password.write_text("x")
    config.write_text(config.read_text().replace("/etc/glance-gate/keystone_password", str(password)))
    changed = config.read_text()
    run(root / "usr/bin/glance-gate", "check", "--config", config)
    dpkg(root, "-i", package)
    assert config.read_text() == changed
    assert password.stat().st_mode & 0o777 == 0o600

    (root / "var/lib/glance-gate").mkdir(parents=True)
    dpkg(root, "-r", "glance-gate")
    assert not (root / "usr/bin/glance-gate").exists()
    assert config.exists() and password.exists() and (root / "var/lib/glance-gate").exists()
    dpkg(root, "-P", "glance-gate")
    left = [path for place in ("etc/glance-gate", "var/lib/glance-gate") for path in root.glob(place)]
    assert not left, "neither the password nor what rules have earned is left"


def test_documents_completions_and_the_bill_of_materials_are_in_it(package, root):
    dpkg(root, "--unpack", package)
    doc = root / "usr/share/doc/glance-gate"
    for name in ("docs/RUNBOOK.md", "docs/reference/configuration.md", "gate.toml.default", "glance-gate.cdx.json",
                 "examples/prometheus/alerts.yaml", "changelog.Debian.gz", "copyright", "README.Debian"):
        assert (doc / name).stat().st_size > 100, name
    for name in ("man/man1/glance-gate.1.gz", "bash-completion/completions/glance-gate",
                 "zsh/vendor-completions/_glance-gate", "fish/vendor_completions.d/glance-gate.fish"):
        assert (root / "usr/share" / name).stat().st_size > 100, name
