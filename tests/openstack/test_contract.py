"""The contract of "update image member" in the `documented` profile, before the real Glance.

Owner: always 403. Neither owner nor the member: always 404. The order of checks is
part of it. Outages name whose they are, and never become a 401 or a pass.
"""
import json
import time

import pytest
import requests

import compare
import gate as gates
import stack as stacks

@pytest.fixture(scope="module", autouse=True)
def own_gates(against_itself):
    if gates.OVERRIDE:
        pytest.skip("these tests start gates of their own")


@pytest.fixture(scope="module")
def documented(own_gates, stack, tmp_path_factory):
    """The gate in the `documented` profile."""
    with gates.running(stack, tmp_path_factory.mktemp("documented"), profile="documented") as started:
        yield started


@pytest.fixture(autouse=True)
def usual_members(world):
    world.reset("shared")
    yield
    world.left.pop("shared", None)


def call(gate, world, caller, image="shared", member="beta", status="accepted", method="PUT", **arguments):
    """Returns the gate's answer to an update of the member, having looked at what every answer has."""
    path = f"/v2/images/{world.ids['img.' + image]}/members/{world.ids.get('p.' + member, member)}"
    headers = {"Accept": "application/json"} | arguments.pop("headers", {})
    if caller:
        headers["X-Auth-Token"] = world.tokens.get(caller, caller)
    if not {"data", "json"} & arguments.keys() and method == "PUT":
        arguments["json"] = {"status": status}
    answer = requests.request(method, gate.url + path, headers=headers, timeout=60, **arguments)
    assert compare.REQUEST_ID.fullmatch(answer.headers.get("x-openstack-request-id", "")), answer.headers
    if answer.status_code >= 400 and answer.content:
        said = answer.json()
        assert said.keys() == {"message", "code", "title"}
        assert said["code"].startswith(str(answer.status_code))
    return answer


@pytest.mark.parametrize("caller", ["beta", "beta-manager", "beta-appcred", "gamma-trust-beta", "beta-minted"])
def test_the_member_project_may(documented, world, caller):
    answer = call(documented, world, caller, status="rejected")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said.keys() == {"created_at", "image_id", "member_id", "schema", "status", "updated_at"}
    assert (said["status"], said["schema"]) == ("rejected", "/v2/schemas/member")
    assert world.members("shared")[world.ids["p.beta"]] == "rejected"


@pytest.mark.parametrize("caller", ["admin", "alpha-admin", "beta-admin"])
def test_an_admin_may(documented, world, caller):
    assert call(documented, world, caller).status_code == 200


@pytest.mark.parametrize("caller, image, member, status", [
    ("alpha", "shared", "beta", "accepted"), ("alpha-reader", "shared", "beta", "accepted"),
    ("alpha", "shared", "alpha", "accepted"), ("alpha", "shared", "nobody", "accepted"),
    ("alpha", "nomember", "beta", "accepted"), ("alpha", "private", "beta", "accepted"),
    ("alpha", "public", "beta", "accepted"), ("alpha", "shared", "beta", "nonsense")])
def test_the_owner_may_not(documented, world, caller, image, member, status):
    assert call(documented, world, caller, image, member, status).status_code == 403
    assert world.members("shared")[world.ids["p.beta"]] == "pending"


@pytest.mark.parametrize("caller, image, member, status", [
    ("gamma", "shared", "beta", "accepted"), ("gamma", "sharedbeta", "beta", "accepted"),
    ("beta", "shared", "gamma", "accepted"), ("beta", "shared", "alpha", "accepted"),
    ("gamma", "public", "beta", "accepted"), ("gamma", "community", "beta", "accepted"),
    ("beta", "missing", "beta", "accepted"), ("gamma", "shared", "beta", "nonsense"),
    ("nova", "shared", "beta", "accepted"), ("beta-unscoped", "shared", "beta", "accepted"),
    ("domain-beta", "shared", "beta", "accepted"), ("system-admin", "shared", "beta", "accepted")])
def test_a_stranger_finds_nothing(documented, world, caller, image, member, status):
    assert call(documented, world, caller, image, member, status).status_code == 404


@pytest.mark.parametrize("caller", [None, "garbage", "beta-expired", "beta-revoked", "beta-appcred-get",
                                    "beta-appcred-othersvc"])
def test_no_valid_credential(documented, world, stack, caller):
    answer = call(documented, world, caller)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{stack["keystone"]}/v3"'


@pytest.mark.parametrize("caller", ["beta", "alpha", "gamma"])
@pytest.mark.parametrize("body", ["", "{", "[]", '"accepted"', "{}", '{"status": "accepted", "status": "rejected"}'])
def test_a_bad_body_comes_before_ownership(documented, world, caller, body):
    answer = call(documented, world, caller, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize("status", ["Accepted", " accepted", "", "foo", None, 1, ["accepted"]])
def test_an_unknown_status_of_the_member(documented, world, status):
    answer = call(documented, world, "beta", json={"status": status})
    assert answer.status_code == 400
    assert 'Status must be "pending", "accepted" or "rejected".' in answer.json()["message"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_other_methods(documented, world, method):
    answer = call(documented, world, "beta", method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, PUT, DELETE")
    assert call(documented, world, None, method=method).status_code == 401


def test_a_body_over_the_limit(documented, world):
    body = json.dumps({"status": "accepted", "x": "a" * 70000})
    assert call(documented, world, "beta", data=body, headers={"Content-Type": "application/json"}).status_code == 413


@pytest.mark.parametrize("headers", [
    {"Content-Type": "text/plain"}, {"Content-Type": "application/xml"},
    {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"}])
def test_other_media_types(documented, world, headers):
    assert call(documented, world, "beta", data='{"status": "accepted"}', headers=headers).status_code == 415


def test_a_media_type_may_be_left_out(documented, world):
    assert call(documented, world, "beta", data=b'{"status": "accepted"}').status_code == 200


def test_the_rest_of_the_api_passes(documented, world):
    answer = requests.get(f"{documented.url}/v2/images/{world.ids['img.shared']}",
                          headers={"X-Auth-Token": world.tokens["beta"]})
    assert (answer.status_code, answer.json()["id"]) == (200, world.ids["img.shared"])


def test_looking_up_as_the_service(stack, world, tmp_path):
    with gates.running(stack, tmp_path, profile="documented", lookup_as="service") as gate:
        assert call(gate, world, "beta").status_code == 503, "the service user is no admin and would not see the image"
    with gates.running(stack, tmp_path, profile="documented", lookup_as="service", user="admin") as gate:
        assert call(gate, world, "beta").status_code == 200
        assert call(gate, world, "alpha").status_code == 403
        assert call(gate, world, "gamma").status_code == 404


def test_the_gate_may_log_in_with_an_application_credential(stack, world, tmp_path):
    credential = world.identities.add_credential("glance", f"gate-{world.mark}")
    with gates.running(stack, tmp_path, profile="documented", credential=credential) as gate:
        assert call(gate, world, "beta").status_code == 200
        assert call(gate, world, "alpha").status_code == 403
        assert call(gate, world, "garbage").status_code == 401


def test_observing_lets_glance_answer(stack, world, tmp_path):
    with gates.running(stack, tmp_path, profile="documented", enforcement="observe") as gate:
        answer = call(gate, world, "alpha", member="nobody")
        assert answer.status_code == (404 if stack["new_defaults"] else 403)
        assert call(gate, world, "beta").status_code == 200


@pytest.mark.parametrize("jws", ["verify", "offline"])
def test_jws_tokens_are_checked_at_the_gate(stack, world, tmp_path, jws):
    if stack["token_provider"] != "jws":
        pytest.skip("this stack hands out Fernet tokens")
    head, claims, signature = world.tokens["beta"].split(".")
    forged = ".".join([head, claims, signature[:-8] + ("A" * 8 if signature[-8:] != "A" * 8 else "B" * 8)])
    with gates.running(stack, tmp_path, profile="documented", jws=jws) as gate:
        assert call(gate, world, "beta").status_code == 200
        assert call(gate, world, "alpha").status_code == 403
        assert call(gate, world, "gamma").status_code == 404
        # offline nobody knows that it is an admin: in the documented profile it is one of its project, no more
        assert call(gate, world, "admin").status_code == (200 if jws == "verify" else 404)
        assert call(gate, world, forged).status_code == 401
        assert call(gate, world, "beta-expired").status_code == 401


def test_a_revoked_token_works_no_longer_than_it_is_remembered(stack, world, tmp_path):
    """The bound is token_cache_time, whatever Glance itself remembers (300 s here)."""
    remembered = 3
    token = world.identities.password_token("beta")
    with gates.running(stack, tmp_path, profile="documented", token_cache_time=f"{remembered}s") as gate:
        assert call(gate, world, token).status_code == 200
        requests.delete(f"{stack['keystone']}/v3/auth/tokens",
                        headers={"X-Auth-Token": token, "X-Subject-Token": token}).raise_for_status()
        revoked = time.monotonic()
        while (answer := call(gate, world, token)).status_code == 200:
            # the last call may have begun within the bound
            assert time.monotonic() - revoked < remembered + 5, "the token outlives token_cache_time"
        assert answer.status_code == 401


def test_keystone_out_of_reach(stack, world, mode, tmp_path):
    with gates.running(stack, tmp_path, profile="documented") as gate:
        assert call(gate, world, "beta").status_code == 200
        uncached = world.identities.password_token("gamma")
        stacks.down("keystone")
        try:
            assert call(gate, world, "beta", status="rejected").status_code == 200, "a cached token"
            answer = call(gate, world, uncached)
            assert answer.status_code == 503, "neither a 401 nor a pass"
            assert "Keystone" in answer.json()["message"] and answer.headers["Retry-After"]
        finally:
            stacks.up(mode)
        deadline = time.monotonic() + 30
        while (answer := call(gate, world, uncached)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert answer.status_code == 404, "an outage is not remembered"
