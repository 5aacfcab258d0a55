"""The same requests to bare Glance and through the gate: same answer, same effect.

A difference is either listed in intended.toml or a failure. Members are put back
before each send, so both sides meet the same world; what a send leaves behind is
compared as well, and a request that the gate refuses must leave nothing behind.
"""
import concurrent.futures
import dataclasses
import json

import pytest

import cases as all_cases
import compare
import intended as intentions
import stack as stacks
import wire
from gate import address

CASES = all_cases.load()


@dataclasses.dataclass
class Tally:
    """What has been seen so far, for the report and the closing summary."""

    equal: int = 0
    explained: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # why -> lines
    unexplained: list[str] = dataclasses.field(default_factory=list)
    used: set[int] = dataclasses.field(default_factory=set)


@pytest.fixture(scope="module")
def entries(against_itself):
    return [] if against_itself else intentions.load()


@pytest.fixture(scope="module")
def tally(mode, against_itself, request):
    counted = Tally()
    yield counted
    seen = counted.equal + sum(map(len, counted.explained.values())) + len(counted.unexplained)
    summary = (f"differential {mode}{' (Glance against itself)' if against_itself else ''}: {seen} cases, "
               f"{counted.equal} equal, {seen - counted.equal - len(counted.unexplained)} intended, "
               f"{len(counted.unexplained)} unexplained")
    report = stacks.state() / "reports" / f"differential-{mode}{'-itself' if against_itself else ''}.txt"
    report.parent.mkdir(exist_ok=True)
    lines = [summary, "", "UNEXPLAINED", *counted.unexplained, "", "INTENDED"]
    for why, found in counted.explained.items():
        lines += [why, *(f"    {line}" for line in found)]
    report.write_text("\n".join(lines) + "\n")
    closing = getattr(request.config, "closing_lines", [])
    request.config.closing_lines = closing + [summary, f"report: {report}"]


def send(case, world, url):
    """Returns the request's bytes, the answer, and the members it has left, after a reset."""
    for image in case.images():
        world.reset(image, case.members)
    host = "%s:%d" % address(url)
    head, body = all_cases.render(case, world, host)
    answer = wire.send(address(url), case.method, head, body, case.wait_for_continue)
    return head, answer, {image: world.members(image) for image in case.images()}, host


# both kinds of policies and of tokens; each takes minutes
FAMILY_MODES = ("fernet-new", "jws-legacy")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_same_answer_and_effect(case, world, stack, mode, tally, entries, against_itself, request):
    if case.id.startswith("family/") and mode not in FAMILY_MODES:
        pytest.skip("the other calls on members are tried once with each kind of policies and of tokens")
    gate = request.getfixturevalue("family_gate" if case.id.startswith("family/") else "gate")
    if case.after:
        world.identities.happen(case.after)
    _, from_glance, left_by_glance, glance_host = send(case, world, stack["glance"])
    head, from_gate, left_by_gate, gate_host = send(case, world, gate.url)
    found = compare.differences(from_glance, from_gate, glance_host, gate_host)
    if left_by_glance != left_by_gate:
        found.append(f"members left behind: {left_by_glance} -> {left_by_gate}")
    number, entry = next(((n, e) for n, e in enumerate(entries) if e.explains(case.id, mode)), (None, None))
    faults = [] if against_itself else compare.request_id_faults(head, from_gate)
    verdict = f"{case.id}: {'; '.join(found + faults)}"
    if entry and from_gate.status != entry.status:
        faults.append(f"intended status {entry.status}, the gate answered {from_gate.status}")
    if entry and found and from_gate.status not in (200, 204):
        untouched = {image: world.meant_members(image, case.members) for image in case.images()}
        if left_by_gate != {image: members if left_by_gate[image] else {} for image, members in untouched.items()}:
            faults.append(f"refused, but members changed: {left_by_gate}")
    if faults or (found and not entry):
        tally.unexplained.append(f"{case.id}: {'; '.join(found + faults)}")
        pytest.fail("\n".join([f"{case.method} {case.target[:200]} as {case.caller}", *found, *faults]))
    elif found:
        tally.used.add(number)
        tally.explained.setdefault(entry.why, []).append(verdict.split("\n")[0][:200])
    else:
        tally.equal += 1


def test_every_intended_difference_is_seen(tally, entries, request, mode):
    if len(request.session.items) < len(CASES):
        pytest.skip("only some of the cases were run")
    tried = [case.id for case in CASES if mode in FAMILY_MODES or not case.id.startswith("family/")]
    unused = [entry.cases for number, entry in enumerate(entries) if number not in tally.used
              and (any(entry.explains(case, mode) for case in tried)
                   or (entry.modes is None and mode in FAMILY_MODES))]
    assert not unused, f"these entries of intended.toml explain nothing: {unused}"


def test_updates_at_once_all_succeed(world, gate):
    world.reset("shared")
    path = f"/v2/images/{world.ids['img.shared']}/members/{world.ids['p.beta']}"
    statuses = ["accepted", "rejected", "pending", "accepted"] * 8

    def update(status):
        body = json.dumps({"status": status}).encode()
        head = (f"PUT {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {world.tokens['beta']}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        return wire.send(address(gate.url), "PUT", head, body)

    with concurrent.futures.ThreadPoolExecutor(len(statuses)) as pool:
        answers = list(pool.map(update, statuses))
    world.left.pop("shared", None)
    assert [answer.status for answer in answers] == [200] * len(statuses)
    assert [json.loads(answer.body)["status"] for answer in answers] == statuses
