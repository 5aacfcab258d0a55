"""What the real Glance and the real Keystone tell on their bus makes a gate forget, within a second.

Every change is made past the gate, at Glance and at Keystone themselves.
"""
import pathlib
import secrets
import sys
import time

import pytest
import requests

import gate as gates
import stack as stacks

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bus"))
import servers  # noqa: E402

SOON = 1.0  # seconds


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory):
    server = servers.Rabbit(tmp_path_factory.mktemp("rabbit")).start()
    yield server
    server.end()


@pytest.fixture(scope="module", params=["basic", "cadf"])
def telling(request, mode, world, rabbit):
    """Both services, sending notifications; Keystone's in one of its two formats."""
    told = stacks.up(mode, NOTIFICATIONS_URL=rabbit.url, NOTIFICATION_FORMAT=request.param)
    # each makes its exchange with the first of them
    keystone = Keystone(told)
    keystone.forget(keystone.user(told["projects"]["beta"]))
    world.call("PATCH", f"/v2/images/{world.ids['img.nomember']}", **renaming())
    yield told
    stacks.up(mode)


@pytest.fixture
def gate(telling, rabbit, tmp_path):
    section = f'[notifications]\ntransport_url = "{rabbit.url}"\n'
    with gates.running(telling, tmp_path, rules=section) as started:
        within(20, lambda: sum(line["message"] == "notifications are read" for line in lines(started)) == 2)
        yield started


class Keystone:
    """Keystone itself, asked as its admin."""

    def __init__(self, stack: dict):
        self.stack, self.url, self.http = stack, stack["keystone"] + "/v3", requests.Session()
        admin = stack["users"]["admin"]
        self.http.headers["X-Auth-Token"] = self.login(admin["id"], admin["password"], {
            "name": admin["project"], "domain": {"id": "default"}})
        roles = self.http.get(self.url + "/roles", params={"name": "member"}).json()["roles"]
        self.member = roles[0]["id"]

    def login(self, user: str, password: str, project: dict) -> str:
        answer = requests.post(self.url + "/auth/tokens", json={"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"id": user, "password": password}}},
            "scope": {"project": project}}})
        answer.raise_for_status()
        token = answer.headers["X-Subject-Token"]
        gates.SECRETS.update((token, password))
        return token

    def user(self, project: str) -> dict:
        """Makes a user with the role member on the project, and a token of it."""
        password = secrets.token_hex(12)
        answer = self.http.post(self.url + "/users", json={"user": {
            "name": f"t-{secrets.token_hex(4)}", "domain_id": "default", "password": password}})
        answer.raise_for_status()
        user = answer.json()["user"]["id"]
        self.http.put(f"{self.url}/projects/{project}/users/{user}/roles/{self.member}").raise_for_status()
        return {"id": user, "token": self.login(user, password, {"id": project})}

    def forget(self, user: dict) -> None:
        self.http.delete(f"{self.url}/users/{user['id']}").raise_for_status()


def renaming() -> dict:
    """Returns the arguments of a call that changes an image's name."""
    return {"json": [{"op": "replace", "path": "/name", "value": f"t-{secrets.token_hex(4)}"}],
            "headers": {"Content-Type": "application/openstack-images-v2.1-json-patch"}}


def lines(gate) -> list[dict]:
    return [line | (line.get("fields") or {}) for line in gate.lines()]


def within(seconds: float, condition) -> None:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    print(f"after {(time.monotonic() - begun) * 1000:.0f} ms")


def metric(gate, name: str) -> int:
    return sum(int(line.rsplit(" ", 1)[1]) for line in gate.ask("/metrics").splitlines() if line.startswith(name))


def accept(gate, world, token: str) -> int:
    path = f"/v2/images/{world.ids['img.sharedbeta']}/members/{world.ids['p.beta']}"
    return requests.put(gate.url + path, json={"status": "accepted"}, headers={"X-Auth-Token": token}).status_code


def test_changes_of_images_and_members_are_heard(gate, world):
    image = f"/v2/images/{world.ids['img.sharedbeta']}"
    other = world.ids["p.gamma"]
    stale = 'glance_gate_cache_requests_total{cache="ownership",result="stale"}'
    forgotten = 'glance_gate_fleet_forgotten_total{link="notifications",what="image"}'
    within(60, lambda: accept(gate, world, world.tokens["beta"]) == 200)
    for method, path, arguments in (
        ("PATCH", image, renaming()),
        ("POST", image + "/members", {"json": {"member": other}}),
        ("DELETE", f"{image}/members/{other}", {}),
    ):
        before, asked = metric(gate, forgotten), metric(gate, stale)
        world.call(method, path, **arguments)
        within(SOON, lambda: metric(gate, forgotten) > before)
        assert accept(gate, world, world.tokens["beta"]) == 200 and metric(gate, stale) == asked + 1, method


@pytest.mark.parametrize("change", ["disabled", "deleted", "role taken away"])
def test_tokens_that_keystone_ends_are_heard_of(gate, world, telling, change):
    keystone, project = Keystone(telling), telling["projects"]["beta"]
    user, bystander = keystone.user(project), world.tokens["beta"]
    for token in (user["token"], bystander):
        within(60, lambda token=token: accept(gate, world, token) == 200)
    forgotten = 'glance_gate_fleet_forgotten_total{link="notifications",what="user"}'
    before = metric(gate, forgotten)
    address = f"{keystone.url}/users/{user['id']}"
    if change == "disabled":
        keystone.http.patch(address, json={"user": {"enabled": False}}).raise_for_status()
    elif change == "deleted":
        keystone.forget(user)
    else:
        role = f"{keystone.url}/projects/{project}/users/{user['id']}/roles/{keystone.member}"
        keystone.http.delete(role).raise_for_status()
    try:
        within(SOON, lambda: metric(gate, forgotten) > before)
        within(20, lambda: accept(gate, world, user["token"]) == 401)
        assert accept(gate, world, bystander) == 200
    finally:
        if change != "deleted":
            keystone.forget(user)
