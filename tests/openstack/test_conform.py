"""`glance-gate conform`, before Glance itself and through the gate: not one answer may deviate."""
import json
import subprocess

import pytest

import gate as gates

PLACE = '[{role}]\nusername = "{name}"\npassword = "{password}"\nproject_name = "{project}"\n'
ROLES = {"owner": "alpha", "member": "beta", "stranger": "gamma", "reader": "beta-reader", "admin": "admin"}


@pytest.fixture(scope="module", autouse=True)
def own_gates(against_itself):
    if gates.OVERRIDE:
        pytest.skip("these tests start gates of their own")


@pytest.fixture(scope="module")
def identities(stack, world, tmp_path_factory):
    text = f'auth_url = "{stack["keystone"]}/v3"\n'
    for role, name in ROLES.items():
        user = stack["users"][name]
        text += PLACE.format(role=role, name=name, password=user["password"], project=user["project"])
    text += f'[unscoped]\ntoken = "{world.tokens["beta-unscoped"]}"\n[ended]\ntoken = "{world.tokens["beta-expired"]}"\n'
    path = tmp_path_factory.mktemp("conform") / "identities.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def conform(url, identities, world, *arguments):
    """Returns exit code and report, and asserts that no secret is told and no image is left."""
    gates.build()
    ended = subprocess.run(
        [gates.BINARY, "conform", url, "--identities", identities, "--with-public", "--json", *arguments],
        capture_output=True, text=True, timeout=600)
    assert ended.stdout, ended.stderr
    for secret in [world.tokens["beta-unscoped"], world.tokens["beta-expired"],
                   *(user["password"] for user in world.stack["users"].values())]:
        assert secret not in ended.stdout + ended.stderr
    report = json.loads(ended.stdout)
    assert report["images_left"] == [] and report["notes"] == [] and report["skipped"] == {}
    left = world.call("GET", "/v2/images?limit=1000&visibility=all").json()["images"]
    assert not [image["name"] for image in left if (image["name"] or "").startswith("glance-gate-conform-")]
    return ended.returncode, report


def deviations(report, contract):
    """Returns the questions that deviate, with what was expected, what came and what else is wrong."""
    return {one["id"]: (one["expected"][contract], one["got"], one["faults"])
            for one in report["questions"] if one["verdicts"][contract] == "deviates"}


def test_glance_keeps_its_own_contract(stack, world, identities):
    mine, other = ("glance-new", "glance-legacy") if stack["new_defaults"] else ("glance-legacy", "glance-new")
    code, report = conform(stack["glance"], identities, world)
    assert (code, report["contract"], deviations(report, mine)) == (0, mine, {})
    # and it is told from the other one by these
    assert deviations(report, other).keys() == {
        "roles/owner-no-members", "roles/owner-not-a-member-id", "order/owner-no-member-unknown-status",
        "roles/reader", "roles/reader-unknown-status"}


def test_the_gate_keeps_the_contract_of_the_glance_behind_it(stack, world, identities, tmp_path):
    mine = "glance-new" if stack["new_defaults"] else "glance-legacy"
    with gates.running(stack, tmp_path, profile="glance") as gate:
        code, report = conform(gate.url, identities, world)
    assert (code, report["contract"], deviations(report, mine)) == (0, mine, {})
    stricter = {one["id"] for one in report["questions"] if one["verdicts"][mine] == "stricter"}
    assert stricter == {"body/doubled", "body/doubled-bad", "body/large", "media/form", "media/multipart"}


def test_the_gate_keeps_the_documented_contract(stack, world, identities, tmp_path):
    with gates.running(stack, tmp_path, profile="documented") as gate:
        code, report = conform(gate.url, identities, world, "--contract", "documented")
    assert (code, deviations(report, "documented")) == (0, {})
