"""Two real Glances, the second as staging: the shadow finds how they differ, and nothing else.

Both share Keystone. Staging has the other policy defaults first, and must differ as `shadow.toml` says; then the same
ones, and must not differ at all. What differs is counted once more here, by asking staging the same directly. Images
have other ids there, and callers other tokens: whatever the gate sends there is searched for those of production.
SHADOW_SEED and SHADOW_COUNT choose which calls are made, and how many.
"""
import collections
import dataclasses
import json
import os
import pathlib
import random
import re
import subprocess
import tomllib

import pytest

import gate as gates
import staging
import wire
from test_drift import eventually
from world import IMAGES
from world import World

SEED, COUNT = (int(os.environ.get(name, default)) for name, default in
               (("SHADOW_SEED", 20261125), ("SHADOW_COUNT", 1200)))
KNOWN = pathlib.Path(__file__).with_name("shadow.toml")
CALLERS = {"beta": 10, "alpha": 6, "gamma": 4, "admin": 3, "beta-reader": 4, "alpha-reader": 3, "gamma-reader": 2,
           "beta-manager": 2, "beta-guest": 2, "alpha-admin": 1, "beta-admin": 1, "none": 1}
# who may not change a status in one of the two: they send the status that is there, or the two would drift apart
DISPUTED = {"beta-reader", "beta-guest", "gamma-reader", "alpha-reader", "alpha", "alpha-admin"}
USED = [name for name in IMAGES if name not in ("weird", "quota")] + ["missing"]
MEMBERS = ("beta", "gamma", "alpha", "admin")
FAULTY = ("", "{", "[]", "1", "{}", '{"status": 1}', '{"status": "maybe"}', '{"state": "accepted"}')
CONFIG = """
[shadow]
target = "{staging}"
percent = 100
writes = ["PUT /v2/images/{{image_id}}/members/{{member_id}}"]
credentials = "exchange"
exchange_file = "{folder}/exchange.toml"
ids_file = "{folder}/ids.toml"
# one after the other, as they came: or an update could overtake the one before it
max_in_flight = 1
max_queue = 20000
max_bytes = "256MiB"
max_age = "10m"
call_timeout = "20s"
[shadow_diff]
file = "{folder}/differences.jsonl"
"""


@dataclasses.dataclass(frozen=True)
class Call:
    """A request as production gets it."""

    caller: str
    method: str
    target: str
    body: str | None = None


class Calls:
    """Makes calls, and remembers the statuses of the members, that no disputed caller may change."""

    def __init__(self, world: World, seed: int):
        self.world, self.random = world, random.Random(seed)
        self.status = {image: dict(world.meant[image]) for image in world.meant}

    def draw(self) -> Call:
        kinds = {self.update: 10, self.faulty: 2, self.show: 4, self.members: 4, self.member: 3, self.listed: 3,
                 self.schema: 1}
        caller = self.random.choices(list(CALLERS), list(CALLERS.values()))[0]
        kind = self.random.choices(list(kinds), list(kinds.values()))[0]
        return kind(caller)

    def update(self, caller: str) -> Call:
        image, member = self.random.choice(USED), self._member(caller)
        held = self.status.get(image, {}).get(member, "pending")
        status = held if caller in DISPUTED else self.random.choice(("pending", "accepted", "rejected"))
        return Call(caller, "PUT", self._path(image, f"/members/{member}"), json.dumps({"status": status}))

    def faulty(self, caller: str) -> Call:
        path = self._path(self.random.choice(USED), f"/members/{self._member(caller)}")
        return Call(caller, "PUT", path, self.random.choice(FAULTY))

    def show(self, caller: str) -> Call:
        return Call(caller, "GET", self._path(self.random.choice(USED)))

    def members(self, caller: str) -> Call:
        return Call(caller, "GET", self._path(self.random.choice(USED), "/members"))

    def member(self, caller: str) -> Call:
        return Call(caller, "GET", self._path(self.random.choice(USED), f"/members/{self._member(caller)}"))

    def listed(self, caller: str) -> Call:
        owner = self.world.ids["p.alpha"]
        query = self.random.choice(
            ("", "?limit=4", "?sort=name:asc", f"?owner={owner}", "?visibility=shared&member_status=all",
             "?visibility=nonsense", "?limit=-1"))
        return Call(caller, "GET", "/v2/images" + query)

    def schema(self, caller: str) -> Call:
        return Call(caller, "GET", "/v2/schemas/" + self.random.choice(("image", "images", "member", "members")))

    def note(self, call: Call, status: int) -> None:
        """Remembers what a call has changed."""
        if call.method == "PUT" and status == 200:
            _, _, _, image, _, member = call.target.split("/")
            name = next(name for name in self.status if self.world.ids["img." + name] == image)
            self.status[name][member] = json.loads(call.body)["status"]

    def _member(self, caller: str) -> str:
        own = caller.split("-")[0]
        name = own if own in MEMBERS and self.random.random() < 0.7 else self.random.choice(MEMBERS)
        return self.world.ids["p." + name]

    def _path(self, image: str, rest: str = "") -> str:
        return f"/v2/images/{self.world.ids['img.' + image]}{rest}"


@pytest.fixture(scope="module", autouse=True)
def own_gates(against_itself):
    if gates.OVERRIDE:
        pytest.skip("these tests start gates of their own")


@pytest.fixture(scope="module")
def credentials(world) -> dict[str, dict]:
    """Returns what the callers have in staging: application credentials."""
    names = {name for name in CALLERS if name in world.stack["users"]}
    return {name: world.identities.add_credential(name, name + "-staging") for name in sorted(names)}


def write_side_files(folder: pathlib.Path, world: World, twin: World, credentials: dict[str, dict]) -> None:
    """Writes who is whom in staging, and which image is which."""
    exchange = [f'auth_url = "{world.stack["keystone"]}/v3"']
    for name, credential in credentials.items():
        exchange.append(f'[[credential]]\nuser = "{world.stack["users"][name]["id"]}"\n'
                        f'application_credential_id = "{credential["id"]}"\n'
                        f'application_credential_secret = "{credential["secret"]}"')
    path = folder / "exchange.toml"
    path.write_text("\n".join(exchange) + "\n")
    path.chmod(0o600)
    pairs = [f'"{world.ids["img." + name]}" = "{twin.ids["img." + name]}"' for name in IMAGES]
    (folder / "ids.toml").write_text("[images]\n" + "\n".join(pairs) + "\n")


def only_own_images(world: World) -> None:
    """Removes what other runs have left, lest it be listed."""
    own = {world.ids["img." + name] for name in IMAGES}
    for kind in ("visibility=all", "visibility=all&os_hidden=true"):
        listed = world.call("GET", f"/v2/images?limit=1000&{kind}").json()["images"]
        for image in (image for image in listed if image["id"] not in own):
            if image["protected"]:
                world.patch(f"/v2/images/{image['id']}", "/protected", False)
            world.call("DELETE", f"/v2/images/{image['id']}")


def send(url: str, world: World, call: Call) -> wire.Answer:
    """Sends the call in one piece: a body that comes after its head may come after Glance has answered."""
    address = gates.address(url)
    body = (call.body or "").encode()
    lines = [f"{call.method} {call.target} HTTP/1.1", "Host: %s:%d" % address, "Connection: close"]
    if call.caller != "none":
        lines.append("X-Auth-Token: " + world.tokens[call.caller])
    if call.body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    answer = wire.send(address, call.method, "\r\n".join([*lines, "", ""]).encode(), body)
    assert answer.status, f"{call}: no answer"
    return answer


def template(call: Call) -> str:
    """Returns the route of a call."""
    names = ["", "v2", "images", "{image_id}", "members", "{member_id}"]
    parts = call.target.partition("?")[0].split("/")
    return call.target if "schemas" in parts else "/".join(names[:len(parts)])


class Twice:
    """Asks staging directly what production was asked, and counts what differs."""

    def __init__(self, world: World, twin: World):
        self.world, self.twin = world, twin
        self.ids = {world.ids["img." + name]: twin.ids["img." + name] for name in IMAGES}
        self.found: collections.Counter = collections.Counter()

    def ask(self, call: Call, answer: wire.Answer) -> None:
        there = dataclasses.replace(call, target=self._renamed(call.target))
        beside = send(self.twin.stack["glance"], self.world, there)
        what = call.method, template(call), answer.status, beside.status
        here, other = self._renamed(answer.body.decode()), beside.body.decode()
        if answer.status != beside.status:
            self.found[*what, "status"] += 1
        elif answer.status != 200 and here != other:
            self.found[*what, "body"] += 1
        elif answer.status == 200:
            assert self._plain(here) == self._plain(other), f"more than the status differs: {call}\n{here}\n{other}"

    def _renamed(self, text: str) -> str:
        for here, there in self.ids.items():
            text = text.replace(here, there)
        return text

    @staticmethod
    def _plain(text: str):
        return json.loads(re.sub(r'"\d{4}-\d\d-\d\dT[^"]*"', '"a date"', text))


def done_with(gate) -> int:
    """Returns of how many copies it is known what became of them."""
    return sum(int(line.rsplit(" ", 1)[1]) for line in gate.ask("/metrics").splitlines()
               if line.startswith(("glance_gate_shadow_copies_total{", "glance_gate_shadow_dropped_total{")))


def shadowed(stack, world, credentials, folder, new_defaults: bool) -> tuple[list[dict], collections.Counter]:
    """Sends the calls through a gate with staging beside it; returns what it tells of differences, and our own count."""
    with staging.running(stack, folder / "staging", new_defaults) as (relay, beside):
        only_own_images(world)
        world.left.clear()
        for name in IMAGES:
            world.reset(name)
        twin = World(beside, like=world)
        write_side_files(folder, world, twin, credentials)
        more = CONFIG.format(staging=relay.url, folder=folder)
        with gates.running(stack, folder, enforcement="observe", rules=more) as gate:
            calls, twice = Calls(world, SEED), Twice(world, twin)
            for _ in range(COUNT):
                call = calls.draw()
                answer = send(gate.url, world, call)
                calls.note(call, answer.status)
                twice.ask(call, answer)
            eventually(f"{COUNT} copies", lambda: done_with(gate) >= COUNT, seconds=120)
            metrics = gate.ask("/metrics")
        assert_no_token(relay.everything(), world)
    assert_nothing_was_lost(metrics)
    path = folder / "differences.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return lines, twice.found


def assert_no_token(received: bytes, world: World) -> None:
    """Fails if staging has seen a token or a password of production; never prints it."""
    assert b"x-glance-gate-shadow" in received.lower(), "the copies have gone another way"
    secrets = [token for token in world.tokens.values() if token]
    secrets += [user["password"] for user in world.stack["users"].values()]
    leaked = sum(1 for secret in secrets if len(secret) >= 8 and secret.encode() in received)
    assert not leaked, f"{leaked} secrets of production have come to staging"


def assert_nothing_was_lost(metrics: str) -> None:
    """Fails if a copy did not come to be compared."""
    ended = [line for line in metrics.splitlines() if not line.endswith(" 0")
             and line.startswith(("glance_gate_shadow_copies_total{", "glance_gate_shadow_dropped_total{"))]
    assert ended == [f'glance_gate_shadow_copies_total{{outcome="sent"}} {COUNT}'], ended


@pytest.mark.parametrize("same", [False, True], ids=["other policy defaults", "the same policy defaults"])
def test_staging_differs_as_it_is_known_to_and_not_otherwise(same, stack, world, credentials, tmp_path, request):
    new = stack["new_defaults"] if same else not stack["new_defaults"]
    lines, counted = shadowed(stack, world, credentials, tmp_path, new)
    told = collections.Counter()
    for line in (line for line in lines if line["type"] == "pair"):
        for difference in line["differences"]:
            if difference["standing"] == "counts":
                told[line["method"], line["route"], line["primary_status"], line["staging_status"],
                     difference["field"]] += 1
    assert told == counted, "the shadow and the count of our own"
    known = {} if same else {
        (entry["method"], entry["route"], entry["primary"], entry["staging"], entry["field"]): entry["why"]
        for entry in tomllib.loads(KNOWN.read_text())["difference"]}
    assert not told.keys() - known.keys(), "every difference is known"
    assert not known.keys() - told.keys(), "every known one was found"
    line = f"shadow: {COUNT} calls, {told.total()} differences of {len(known)} known kinds, 0 unexplained"
    request.config.closing_lines = [*getattr(request.config, "closing_lines", []), line]
    report(tmp_path, 1 if told else 0)
    (tmp_path / "ignore.toml").write_text("".join(
        f'[[ignore]]\nmethod = "{method}"\nroute = "{route}"\nfield = "{field}"\nreason = "{why}"\n'
        + (f"primary = {primary}\nstaging = {beside}\n" if field == "status" else "")
        for (method, route, primary, beside, field), why in known.items()))
    report(tmp_path, 0, "--ignore", tmp_path / "ignore.toml")


def report(folder: pathlib.Path, expected: int, *arguments) -> None:
    """Runs `shadow report` on what was written, and expects its exit code."""
    done = subprocess.run([gates.BINARY, "shadow", "report", folder / "differences.jsonl", *arguments],
                          capture_output=True, text=True)
    assert done.returncode == expected, done.stdout + done.stderr
