"""The drift meter, before the real Glance: it counts what an independent count finds, and a Glance that changes shows.

DRIFT_SEED and DRIFT_COUNT choose which calls are made, and how many; DRIFT_PROFILES in which profiles of the gate.
"""
import collections
import concurrent.futures
import dataclasses
import fnmatch
import os
import pathlib
import re
import time
import tomllib

import pytest
import requests

import drift_calls
import gate as gates
import wire
from compare import REQUEST_ID

DEFAULT_SEED = 20261125
SEED, COUNT = (int(os.environ.get(name, default)) for name, default in
               (("DRIFT_SEED", DEFAULT_SEED), ("DRIFT_COUNT", 2000)))
PROFILES = {"fernet": "documented", "jws": "glance"}
HERE = pathlib.Path(__file__).parent
RUNBOOK = (HERE.parents[1] / "deploy/RUNBOOK.md").read_text()
WOULD_ANSWER = {rule: int(status) for rule, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", RUNBOOK, re.M)}
METER = re.compile(
    r'^glance_gate_drift_total\{rule="(\w+)",verdict="(\w+)",status="(\d+)",agree="(\w+)"\} (\d+)$', re.M)


@dataclasses.dataclass
class Disagreement:
    """One reason for Glance to disagree, and the verdicts it is about."""

    profile: str
    rule: str
    statuses: list[int]
    why: str
    modes: list[str] = dataclasses.field(default_factory=lambda: ["*"])

    def is_about(self, profile: str, mode: str, rule: str, status: int) -> bool:
        return (self.profile in (profile, "both") and self.rule in (rule, "*") and status in self.statuses
                and any(fnmatch.fnmatchcase(mode, pattern) for pattern in self.modes))


def pytest_generate_tests(metafunc):
    """Holds one profile against Glance in each mode: both take their time."""
    if "profile" in metafunc.fixturenames:
        tokens = metafunc.config.getoption("--mode").split("-")[0]
        metafunc.parametrize("profile", os.environ.get("DRIFT_PROFILES", PROFILES[tokens]).split())


@pytest.fixture(scope="module", autouse=True)
def own_gates(against_itself):
    if gates.OVERRIDE:
        pytest.skip("these tests start gates of their own")


def meter(gate) -> collections.Counter:
    """Returns what the gate has counted, without what it has only made ready to count."""
    return collections.Counter({(rule, verdict, int(status), agree): int(count)
                                for rule, verdict, status, agree, count in METER.findall(gate.ask("/metrics"))
                                if int(count)})


def eventually(what: str, holds, seconds: float = 20):
    """Waits until something holds, and returns it: the gate counts a call when its answer has gone out."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
    return found


def send(call, world, gate) -> wire.Answer:
    address = gates.address(gate.url)
    head, body = drift_calls.render(call, world, "%s:%d" % address)
    return wire.send(address, call.method, head, body)


def told_of(gate, count: int) -> dict[str, dict]:
    """Returns the line of the access log for each request id, once there are so many."""
    def lines():
        found = {line["request_id"]: line for line in gate.lines() if line["message"] == "request"}
        return found if len(found) >= count else None

    return eventually(f"{count} lines in the access log", lines)


def judge(calls, answers, lines, contract) -> tuple[collections.Counter, list[str]]:
    """Returns the independent count, and where the gate did not do what its contract says."""
    counted, odd = collections.Counter(), []
    for call, answer in zip(calls, answers):
        assert answer.status and REQUEST_ID.fullmatch(answer.value("x-openstack-request-id")), f"{call}: {answer}"
        line, expected = lines[call.request_id], contract.verdicts(call)
        if not expected:
            wanted = drift_calls.AMBIGUOUS.get(call.ambiguity)
            if wanted not in (None, answer.status) or line["branch"] == "member_update":
                odd.append(f"{call}: {answer.status} {line}")
            continue
        told = (line.get("reason", "none"), line["verdict"])
        if told not in expected or line.get("upstream.status") != answer.status or line["http.status"] != answer.status:
            odd.append(f"{call}: {expected}, {answer.status}, but the gate tells {line}")
        rule, verdict = told if told in expected else expected[0]
        agree = drift_calls.agreement(rule, verdict, answer.status, WOULD_ANSWER)
        counted[rule, verdict, answer.status, agree] += 1
    return counted, odd


def test_the_meter_agrees_with_an_independent_count(profile, stack, world, mode, tmp_path, request):
    calls = drift_calls.generate(SEED, COUNT)
    began = time.monotonic()
    with gates.running(stack, tmp_path, profile=profile, enforcement="observe") as gate:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda call: send(call, world, gate), calls))
        lines = told_of(gate, len(calls))
        counted, odd = judge(calls, answers, lines, drift_calls.Contract(world, stack, profile))
        eventually("all are counted", lambda: meter(gate).total() >= counted.total())
        metered = meter(gate)
    world.left.clear()
    by_agreement = collections.Counter()
    for (_, _, _, agree), count in counted.items():
        by_agreement[agree] += count
    line = (f"drift {mode} {profile}, seed {SEED}: {len(calls)} calls, {counted.total()} verdicts, "
            f"{by_agreement['yes']} agree, {by_agreement['no']} disagree, {by_agreement['unknown']} unknown, "
            f"{len(counted)} kinds, {time.monotonic() - began:.0f} s")
    print(line)
    for kind, count in sorted(counted.items()):
        print(*kind, count)
    request.config.closing_lines = [*getattr(request.config, "closing_lines", []), line]
    assert not odd, f"{len(odd)} verdicts are not the contract's:\n" + "\n".join(odd[:10])
    assert metered == counted, f"only in the meter {metered - counted}, only in the count {counted - metered}"
    explain(profile, mode, counted)


def explain(profile: str, mode: str, counted: collections.Counter) -> None:
    """Fails if a disagreement has no reason, or a reason no disagreement."""
    listed = tomllib.loads((HERE / "drift.toml").read_text())["disagreement"]
    entries = [Disagreement(**entry) for entry in listed]
    used, unexplained = set(), []
    for (rule, _, status, agree), count in sorted(counted.items()):
        if agree != "no":
            continue
        number = next((n for n, entry in enumerate(entries) if entry.is_about(profile, mode, rule, status)), None)
        if number is None:
            unexplained.append(f"{rule}: Glance answers {status}, {count} times")
        used.add(number)
    assert not unexplained, "disagreements that nothing explains:\n" + "\n".join(unexplained)
    unused = [entry for number, entry in enumerate(entries) if number not in used
              and entry.profile in (profile, "both") and any(fnmatch.fnmatchcase(mode, one) for one in entry.modes)]
    assert not unused or (SEED, COUNT) != (DEFAULT_SEED, 2000), f"these entries of drift.toml explain nothing: {unused}"


class Policies:
    """Changes rules in the policy file of the Glance that runs, and puts them back.

    oslo.policy reads a changed file anew. A rule that is only left out of it stays as it was read last, so what is put
    back is its default.
    """

    def __init__(self, stack: dict):
        from glance import policies

        self.file = pathlib.Path(stack["state"]) / "glance/policy.yaml"
        self.defaults = {}
        for rule in policies.list_rules():
            was = getattr(rule, "deprecated_rule", None)
            either = not stack["new_defaults"] and was and was.check_str != rule.check_str
            self.defaults[rule.name] = f"({rule.check_str}) or ({was.check_str or '@'})" if either else rule.check_str
        self.changed: set[str] = set()

    def change(self, name: str, rule: str) -> None:
        self.changed.add(name)
        self._write({known: self.defaults[known] for known in self.changed} | {name: rule})

    def restore(self) -> None:
        self._write({name: self.defaults[name] for name in self.changed})

    def _write(self, rules: dict[str, str]) -> None:
        before = self.file.stat().st_mtime
        self.file.write_text("".join(f'"{name}": "{rule}"\n' for name, rule in rules.items()))
        while self.file.stat().st_mtime <= before:  # only a later file is read
            time.sleep(0.02)
            self.file.touch()


@pytest.fixture
def policies(stack, world):
    if not stack["new_defaults"]:
        pytest.skip("with legacy defaults it is Glance's code that refuses owners, and no policy")
    made = Policies(stack)
    made.changed.add("modify_member")
    made.restore()  # what a run that was cut off may have left
    yield made
    made.restore()
    world.reset("sharedbeta")
    assert update(world, stack["glance"], "alpha") == 403, "the policy is not what it was"
    assert update(world, stack["glance"], "beta") == 200, "the policy is not what it was"
    world.reset("sharedbeta")


def update(world, url: str, caller: str) -> int:
    """Returns what an update of beta's membership is answered."""
    path = f"/v2/images/{world.ids['img.sharedbeta']}/members/{world.ids['p.beta']}"
    answer = requests.put(url + path, json={"status": "accepted"}, headers={"X-Auth-Token": world.tokens[caller]})
    world.left.pop("sharedbeta", None)
    return answer.status_code


def drifted(gate, **labels) -> int:
    """Returns how many verdicts the meter has with these labels."""
    names = ("rule", "verdict", "status", "agree")
    return sum(count for kind, count in meter(gate).items()
               if all(labels.get(name, value) == value for name, value in zip(names, kind)))


def test_a_glance_whose_policy_changes_undoes_what_a_rule_has_earned(stack, world, policies, tmp_path, request):
    rules = """owner_forbidden = "earn"
enforce_after = { samples = 5, period = "0s", max_disagreements = 0 }
probe_percent = 50
"""
    with gates.running(stack, tmp_path, profile="documented", enforcement="observe", rules=rules) as gate:
        changed = 'glance_gate_rule_changes_total{rule="owner_forbidden",change="%s"} 1'
        mode = 'glance_gate_rule_mode{rule="owner_forbidden",mode="%s"} 1'
        for _ in range(5):
            assert update(world, gate.url, "alpha") == 403, "by Glance"
            assert update(world, gate.url, "beta") == 200
        eventually("the rule is promoted", lambda: changed % "promoted" in gate.ask("/metrics"))
        eventually("it is enforced", lambda: mode % "enforce" in gate.ask("/metrics"))
        assert "[i] rules: enforce (earns its enforcement): owner_forbidden\n" in gate.ask("/readyz?verbose")
        for _ in range(4):
            assert update(world, gate.url, "alpha") == 403, "by Glance or by the gate"
        eventually("every second one was a probe", lambda: drifted(gate, rule="owner_forbidden", agree="yes") == 7)
        enforced = 'glance_gate_refusals_total{reason="owner_forbidden",mode="enforced"} 2'
        eventually("the others were refused", lambda: enforced in gate.ask("/metrics"))
        assert not drifted(gate, agree="no")

        # owners may update, says the operator of this Glance
        policies.change("modify_member", "role:member")
        statuses = []
        while 200 not in statuses and len(statuses) < 4:
            statuses.append(update(world, gate.url, "alpha"))
        assert statuses in ([200], [403, 200]), "the next probe finds it out"
        eventually("drift", lambda: drifted(
            gate, rule="owner_forbidden", verdict="would_refuse", status=200, agree="no") == 1)
        eventually("the rule is demoted", lambda: changed % "demoted" in gate.ask("/metrics"))
        eventually("it only observes", lambda: mode % "observe" in gate.ask("/metrics"))
        assert mode % "enforce" not in gate.ask("/metrics")
        assert "[i] rules: observe (earns its enforcement): owner_forbidden\n" in gate.ask("/readyz?verbose")
        for _ in range(3):
            assert update(world, gate.url, "alpha") == 200, "it only observes now"

        # and now nobody but admins may
        policies.change("modify_member", "rule:context_is_admin")
        assert update(world, gate.url, "beta") == 403, "by Glance"
        eventually("drift of a permitted call", lambda: drifted(
            gate, rule="none", verdict="permitted", status=403, agree="no") == 1)

        # what is right again earns it again
        policies.restore()
        for _ in range(5):
            assert update(world, gate.url, "alpha") == 403, "by Glance"
        eventually("promoted again", lambda: changed.replace(" 1", " 2") % "promoted" in gate.ask("/metrics"))
        eventually("three changes", lambda: len([
            line for line in gate.lines() if line["message"].startswith("rule ")]) == 3)
    told = [(line["level"], line["message"].split(":")[0], line["rule"]) for line in gate.lines()
            if line["message"].startswith("rule ")]
    assert told == [("WARN", "rule promoted", "owner_forbidden"), ("ERROR", "rule demoted", "owner_forbidden"),
                    ("WARN", "rule promoted", "owner_forbidden")]
    disagreements = [line for line in gate.lines() if line["message"] == "glance disagrees with the gate"]
    first = disagreements[0]
    assert (first["rule"], first["verdict"], first["upstream.status"]) == ("owner_forbidden", "would_refuse", 200)
    assert all(REQUEST_ID.fullmatch(line["request_id"]) and "ownership.age_ms" in line for line in disagreements)
    line = f"drift: the rule was demoted by call {len(statuses)} after Glance's policy had changed"
    request.config.closing_lines = [*getattr(request.config, "closing_lines", []), line]
