"""A gate that was adopted from this Glance's own files answers as this Glance does, also with policies of its operator's."""
import os
import pathlib
import subprocess
import sysconfig

import pytest

import cases as all_cases
import compare
import gate as gates
import intended as intentions
from test_differential import send
from test_drift import Policies

# What decides about a caller and an image; an event such as a revoked token is the business of other tests.
CASES = [case for case in all_cases.load()
         if case.id.split("/")[0] in ("roles", "order", "visibility") and not case.after]

# What an operator might have written, each with what of it only Glance can decide.
POLICIES = {
    "defaults": ({}, None),
    "readers may answer": ({"modify_member": "rule:context_is_admin or (role:reader and project_id:%(member_id)s)"}, None),
    # the world is put back by an admin
    "only admins may answer": ({"modify_member": "rule:context_is_admin"}, None),
    "old words": ({"modify_member": "(role:MEMBER or not role:reader) and 'shared':%(visibility)s",
                   "get_member": "not role:unheard and project_id:%(member_id)s or project_id:%(owner)s"}, None),
    "members only": ({"get_image": "rule:context_is_admin or role:member or 'public':%(visibility)s",
                      "get_member": "rule:context_is_admin or role:member"}, None),
    "a rule beside": ({"answerers": "role:member and rule:theirs", "theirs": "project_id:%(member)s",
                       "modify_member": "rule:answerers or rule:no_such_rule"}, None),
    "a property": ({"modify_member": "rule:context_is_admin or (role:member and 'None':%(size)s)"},
                   "the policy modify_member"),
    "a domain": ({"modify_member": "user_domain_id:default and role:member"}, "the policy modify_member"),
    "a project of administrators": ({"context_is_admin": "role:admin or project_id:{p.gamma}"}, None),
}


@pytest.fixture(scope="module")
def policies(stack, world):
    if gates.OVERRIDE:
        pytest.skip("the gate is not ours to start")
    made = Policies(stack)
    made.defaults |= {"answerers": "!", "theirs": "!"}
    made.changed |= {"modify_member", "get_member", "get_image", "context_is_admin"}
    made.restore()
    yield made
    made.restore()


def adopt(folder: pathlib.Path, *arguments: str) -> tuple[int, str]:
    """Returns the exit code and what was told."""
    gates.build()
    done = subprocess.run([gates.BINARY, "adopt", *arguments, "--out", folder / "adopted.toml"],
                          capture_output=True, text=True, timeout=60)
    gates.assert_keeps_secrets(done.stdout + done.stderr, "what adopt tells")
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", POLICIES)
def test_an_adopted_gate_answers_as_its_glance(name, stack, world, mode, policies, tmp_path):
    rules, asked = POLICIES[name]
    rules = {rule: text.replace("{p.gamma}", world.ids["p.gamma"]) for rule, text in rules.items()}
    policies.changed |= rules.keys()
    policies._write({known: policies.defaults[known] for known in policies.changed} | rules)
    files = pathlib.Path(stack["state"]) / "glance"
    code, told = adopt(tmp_path, "--config-dir", files, "--listen", "127.0.0.1:0", "--upstream", stack["glance"])
    # a rule that there is not is Glance's rule "default"
    assert code == (1 if asked else 0), told
    assert asked is None or f"warning: {asked}: it hangs on" in told, told
    text = (tmp_path / "adopted.toml").read_text()
    assert f'policy_defaults = "{"new" if stack["new_defaults"] else "legacy"}"' in text
    assert (tmp_path / "keystone_password").stat().st_mode & 0o777 == 0o600
    text = text.replace('enforcement = "observe"', 'enforcement = "enforce"') + '\n[admin]\nlisten = "127.0.0.1:0"\n'
    # other tests may have left other members
    world.left.clear()
    entries, unexplained = intentions.load(), []
    with gates.running(stack, tmp_path, text=text) as gate:
        for case in CASES:
            _, from_glance, left_by_glance, glance_host = send(case, world, stack["glance"])
            _, from_gate, left_by_gate, gate_host = send(case, world, gate.url)
            found = compare.differences(from_glance, from_gate, glance_host, gate_host)
            if left_by_glance != left_by_gate:
                found.append(f"members left behind: {left_by_glance} -> {left_by_gate}")
            if found and not any(entry.explains(case.id, mode) for entry in entries):
                unexplained.append(f"{case.id}: {'; '.join(found)}")
        decided = gate.ask("/metrics")
    assert not unexplained, f"{len(unexplained)} of {len(CASES)}:\n" + "\n".join(unexplained[:40])
    refused = sum(float(line.rsplit(" ", 1)[1]) for line in decided.splitlines()
                  if line.startswith("glance_gate_refusals_total{"))
    assert refused > 10, "the gate has left nearly all to Glance"


def test_the_default_files_of_the_package_are_adopted(tmp_path):
    files = pathlib.Path(sysconfig.get_path("data")) / "etc/glance"
    assert (files / "glance-api.conf").exists()
    code, told = adopt(tmp_path, "--config-dir", os.fspath(files))
    # without a flavor, nobody is asked for a token; and nobody said where Keystone is
    assert code == 2, told
    for line in ("can not be reproduced: [paste_deploy] flavor: ", "can not be reproduced: [keystone_authtoken] auth_url: "):
        assert line in told, told
    changed = tmp_path / "glance-api.conf"
    changed.write_text((files / "glance-api.conf").read_text() + """
[keystone_authtoken]
auth_url = http://127.0.0.1:5000
username = glance
password = secret-of-glance
project_name = service
user_domain_id = default
project_domain_id = default
[paste_deploy]
flavor = keystone
[oslo_policy]
enforce_new_defaults = true
""")
    (tmp_path / "glance-api-paste.ini").write_text((files / "glance-api-paste.ini").read_text())
    (tmp_path / "adopted.toml").unlink()
    code, told = adopt(tmp_path, "--config-dir", os.fspath(tmp_path))
    assert code == 0, told
    assert 'listen = "0.0.0.0:9292"' in (tmp_path / "adopted.toml").read_text()
