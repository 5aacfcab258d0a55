"""The systemd units and what goes with them: systemd itself finds them good, and shut in."""
import re
import shutil

import pytest
from conftest import DEPLOY, GATE, run

UNITS = ["glance-gate.service", "glance-gate.socket"]
# `systemd-analyze security` gives ten times its figure; what is left is the network and a root of its own
EXPOSURE = 11


@pytest.fixture
def units(tmp_path):
    """Copies the units, with the binary at a place where it is."""
    for name in UNITS:
        text = (DEPLOY / name).read_text().replace("/usr/local/bin/glance-gate", str(GATE))
        (tmp_path / name).write_text(text)
    return tmp_path


def test_systemd_reads_the_units_without_a_word(units):
    done = run("systemd-analyze", "verify", "--man=no", *(units / name for name in UNITS))
    told = [line for line in done.stderr.splitlines() if "glance-gate" in line]
    assert not told, "\n".join(told)


def test_the_service_is_as_shut_in_as_it_says():
    done = run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", DEPLOY / "glance-gate.service")
    figure = re.search(r"exposure level for glance-gate.service: ([0-9.]+)", done.stdout).group(1)
    assert float(figure) * 10 <= EXPOSURE
    assert f"gives it {figure}." in (DEPLOY / "glance-gate.service").read_text(), "the unit tells its own figure"


def test_users_and_files_are_made_by_systemd(tmp_path):
    for kind, name in (("sysusers", "sysusers.d"), ("tmpfiles", "tmpfiles.d")):
        place = tmp_path / "usr/lib" / name / "glance-gate.conf"
        place.parent.mkdir(parents=True)
        shutil.copy(DEPLOY / f"debian/glance-gate.{kind}", place)
    secret = tmp_path / "etc/glance-gate/keystone_password"
    secret.parent.mkdir(parents=True)
    secret.write_text("x")
    secret.chmod(0o644)
    run("systemd-sysusers", f"--root={tmp_path}", "glance-gate.conf")
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create", "glance-gate.conf")
    assert "\nglance-gate:" in "\n" + (tmp_path / "etc/passwd").read_text()
    assert secret.stat().st_mode & 0o777 == 0o600, "a password that was readable is so no more"
