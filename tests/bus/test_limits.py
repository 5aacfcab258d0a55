"""A limit holds over all gates together while they can count together, and over each alone while they can not."""
import http.client
import json
import threading
import time

import standins
from gates import SOON, redis_section, running, until

#: Member updates of one client, a second.
LIMIT = 10
#: For how long both gates are flooded.
SECONDS = 5


class Flood(threading.Thread):
    """Asks one gate as fast as one connection goes, and counts what is admitted."""

    def __init__(self, gate, image: str, token: str, end: float):
        super().__init__(daemon=True)
        self.gate, self.image, self.token, self.end, self.admitted, self.refused = gate, image, token, end, 0, 0

    def run(self) -> None:
        client = http.client.HTTPConnection(self.gate.main, timeout=10)
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        while time.monotonic() < self.end:
            client.request("PUT", f"/v2/images/{self.image}/members/{standins.MEMBER}", '{"status": "accepted"}', headers)
            answer = client.getresponse()
            answer.read()
            assert answer.status in (200, 429), answer.status
            self.admitted += answer.status == 200
            self.refused += answer.status == 429
            time.sleep(0.002)
        client.close()


def flooded(gates, world) -> int:
    """Returns how many member updates the gates admitted together, when each was asked for more than the limit."""
    for _ in range(6):
        floods = flood(gates, world)
        if all(one.admitted + one.refused > 1.2 * LIMIT * SECONDS for one in floods):
            return sum(one.admitted for one in floods)
        time.sleep(1.1)  # a busy machine: try again, when the second before is over
    raise AssertionError("this machine is too busy to flood two gates")


def flood(gates, world) -> list[Flood]:
    token, image = world.state.token("u1", standins.MEMBER), world.state.image()
    end = time.monotonic() + SECONDS
    floods = [Flood(gate, image, token, end) for gate in gates]
    for flood in floods:
        flood.start()
    for flood in floods:
        flood.join()
    counts = [(flood.admitted, flood.refused) for flood in floods]
    print(f"admitted and refused in {SECONDS} s at a limit of {LIMIT}: {counts}")
    return floods


def each_admits_its_own(gates, world) -> bool:
    """Tells whether each gate admits up to the limit; a busy machine may not ask both often enough each time."""
    return any(flooded(gates, world) >= 2 * LIMIT * (SECONDS - 1) for _ in range(4))


def test_two_gates_admit_together_what_one_may(world, redis, tmp_path):
    sections = redis_section(redis) + f"[limits]\nmember_updates_per_client = {LIMIT}\n"
    with running(world, tmp_path, sections, sections) as gates:
        for gate in gates:
            until("the link stands", lambda gate=gate: gate.stands("other gates"))
        together = flooded(gates, world)
        # the flood touches one second more than it lasts; its first one may be used up at each gate, and what comes
        # through between two exchanges is paid back, but for that of the last second
        most = LIMIT * (SECONDS + 1) + 2 * LIMIT
        assert LIMIT * (SECONDS - 1) * 0.6 <= together <= most, f"{together} of at most {most}"
        assert gates[0].metric('glance_gate_fleet_rate_syncs_total{outcome="done"}') > 0

        redis.stop()
        try:
            for gate in gates:
                until("the loss is noticed", lambda gate=gate: not gate.stands("other gates"), 4)
            assert each_admits_its_own(gates, world)
        finally:
            redis.start()
        for gate in gates:
            until("the link is back", lambda gate=gate: gate.stands("other gates"), 4)
        time.sleep(1.1)  # the second before is over
        again = flooded(gates, world)
        assert again <= most, f"{again} of at most {most}"


def test_a_limit_that_is_each_gates_own_is_not_shared(world, redis, tmp_path):
    sections = redis_section(redis, 'limits = "own"') + f"[limits]\nmember_updates_per_client = {LIMIT}\n"
    with running(world, tmp_path, sections, sections) as gates:
        for gate in gates:
            until("the link stands", lambda gate=gate: gate.stands("other gates"))
        assert each_admits_its_own(gates, world)


RULES = """
[[limit]]
name = "sharing"
group = "project"
requests = 60
per = "1h"
burst = 4
"""


def test_what_a_project_has_spent_at_one_gate_it_has_not_left_at_the_other(world, redis, tmp_path):
    (tmp_path / "limits.toml").write_text(RULES)
    limits = f'[rate_limits]\nrules_file = "{tmp_path}/limits.toml"\ndocument = "/v2/limits"\n'
    image = world.state.image()
    tokens = {project: world.state.token(f"user-of-{project}", project) for project in ("calm", "flood", "alone", "late")}

    def ask(gate, token, method, path, body=""):
        client = http.client.HTTPConnection(gate.main, timeout=10)
        try:
            client.request(method, path, body, {"X-Auth-Token": token, "Content-Type": "application/json"})
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            client.close()

    def put(gate, project):
        path = f"/v2/images/{image}/members/{project}"
        return ask(gate, tokens[project], "PUT", path, '{"status": "accepted"}')

    def spend(gate, project, times):
        return [put(gate, project)[0] for _ in range(times)]

    def left(gate, project):
        status, _, body = ask(gate, tokens[project], "GET", "/v2/limits")
        assert status == 200
        return json.loads(body)["limits"]["rate"][0]["limit"][0]["remaining"]

    with running(world, tmp_path, redis_section(redis) + limits, redis_section(redis) + limits) as gates:
        one, other = gates
        for gate in gates:
            until("the link stands", lambda gate=gate: gate.stands("other gates"))
        assert [left(gate, "calm") for gate in gates] == [4, 4]
        assert spend(one, "calm", 3) == [200, 200, 200]
        # a gate hears of a key when somebody asks for it there
        assert spend(other, "calm", 1) == [200]
        for gate in gates:
            until("it is known", lambda gate=gate: left(gate, "calm") == 0, SOON)
            assert spend(gate, "calm", 1) == [429]

        # the whole burst at each gate at once is more than there is, and paid back: 60 s each
        admitted = []
        floods = [threading.Thread(target=lambda gate=gate: admitted.extend(spend(gate, "flood", 4))) for gate in gates]
        for flood in floods:
            flood.start()
        for flood in floods:
            flood.join()
        wait = 60 * (admitted.count(200) - 3)
        assert admitted.count(200) >= 4
        for gate in gates:
            until(f"{wait} s is told", lambda gate=gate: wait - 30 < int(put(gate, "flood")[1]["Retry-After"]) <= wait, SOON)

        redis.stop()
        try:
            for gate in gates:
                until("the loss is noticed", lambda gate=gate: not gate.stands("other gates"), 4)
                assert spend(gate, "alone", 5) == [200, 200, 200, 200, 429]
        finally:
            redis.start()
        for gate in gates:
            until("the link is back", lambda gate=gate: gate.stands("other gates"), 4)
        assert spend(one, "late", 2) == [200, 200] and spend(other, "late", 1) == [200]
        for gate in gates:
            until("it is known again", lambda gate=gate: left(gate, "late") == 1, SOON)
