"""A limit holds over all gates together while they can count together, and over each alone while they can not."""
import http.client
import json
import re
import threading
import time

import pytest
import standins
from gates import SOON, redis_section, running, until

#: Member updates of one client, a second.
LIMIT = 10
#: For how long both gates are flooded.
SECONDS = 5


class Flood(threading.Thread):
    """Asks one gate with this pause after each answer, and counts what is admitted."""

    def __init__(self, gate, image: str, token: str, end: float, pause: float):
        super().__init__(daemon=True)
        self.gate, self.image, self.token, self.end, self.admitted, self.refused = gate, image, token, end, 0, 0
        self.pause = pause

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
            time.sleep(self.pause)
        client.close()


def flooded(gates, world) -> int:
    """Returns how many member updates the gates admitted together, when each was asked for more than the limit."""
    for _ in range(6):
        floods = flood(gates, world)
        if all(one.admitted + one.refused > 1.2 * LIMIT * SECONDS for one in floods):
            return sum(one.admitted for one in floods)
        time.sleep(1.1)  # a busy machine: try again, when the second before is over
    raise AssertionError("this machine is too busy to flood two gates")


def flood(gates, world, pause: float = 0.002) -> list[Flood]:
    token, image = world.state.token("u1", standins.MEMBER), world.state.image()
    end = time.monotonic() + SECONDS
    floods = [Flood(gate, image, token, end, pause) for gate in gates]
    for flood in floods:
        flood.start()
    for flood in floods:
        flood.join()
    counts = [(flood.admitted, flood.refused) for flood in floods]
    print(f"admitted and refused in {SECONDS} s: {counts}")
    return floods


def each_admits_its_own(gates, world) -> bool:
    """Tells whether each gate admits up to the limit; a busy machine may not ask both often enough each time."""
    return any(flooded(gates, world) >= 2 * LIMIT * (SECONDS - 1) for _ in range(4))


@pytest.mark.parametrize("count", [2, 4])
def test_gates_admit_together_what_one_may(world, redis, tmp_path, count):
    sections = redis_section(redis) + f"[limits]\nmember_updates_per_client = {LIMIT}\n"
    with running(world, tmp_path, *[sections] * count) as gates:
        for gate in gates:
            until("the link stands", lambda gate=gate: gate.stands("other gates"))
        together = flooded(gates, world)
        # as many at once and as many a second; what each gate grants before it knows of the others is paid back
        most = LIMIT * (SECONDS + 2)
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
        time.sleep(count)  # what each has granted alone may be told
        again = flooded(gates, world)
        assert LIMIT * (SECONDS - 1) * 0.6 <= again <= most, f"{again} of at most {most}"


def test_gates_that_are_each_below_a_limit_are_not_above_it_together(world, redis, tmp_path):
    limit = 60
    sections = redis_section(redis) + f"[limits]\nmember_updates_per_client = {limit}\n"
    with running(world, tmp_path, sections, sections) as gates:
        linked(gates)
        for _ in range(6):
            # 50 a second and less
            floods = flood(gates, world, pause=0.02)
            if all(one.admitted + one.refused > 0.7 * limit * SECONDS for one in floods):
                break
            time.sleep(1.1)
        else:
            raise AssertionError("this machine is too busy")
        together, most = sum(one.admitted for one in floods), limit * (SECONDS + 1) * 1.05
        assert 0.6 * limit * SECONDS <= together <= most, f"{together} of at most {most}"


def test_a_limit_that_is_each_gates_own_is_not_shared(world, redis, tmp_path):
    sections = redis_section(redis, 'limits = "own"') + f"[limits]\nmember_updates_per_client = {LIMIT}\n"
    with running(world, tmp_path, sections, sections) as gates:
        for gate in gates:
            until("the link stands", lambda gate=gate: gate.stands("other gates"))
        assert each_admits_its_own(gates, world)


class Callers:
    """Callers of projects that an image is shared with, and a limit on what each project may do."""

    def __init__(self, world, folder, limit: str):
        (folder / "limits.toml").write_text(f'[[limit]]\nname = "sharing"\ngroup = "project"\n{limit}\n')
        self.section = f'[rate_limits]\nrules_file = "{folder}/limits.toml"\ndocument = "/v2/limits"\n'
        self.world, self.image, self.tokens = world, world.state.image(), {}

    def ask(self, gate, project, method, path, body=""):
        token = self.tokens.setdefault(project, self.world.state.token(f"user-of-{project}", project))
        client = http.client.HTTPConnection(gate.main, timeout=10)
        try:
            client.request(method, path, body, {"X-Auth-Token": token, "Content-Type": "application/json"})
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            client.close()

    def put(self, gate, project):
        return self.ask(gate, project, "PUT", f"/v2/images/{self.image}/members/{project}", '{"status": "accepted"}')

    def spend(self, gate, project, times):
        return [self.put(gate, project)[0] for _ in range(times)]

    def left(self, gate, project):
        status, _, body = self.ask(gate, project, "GET", "/v2/limits")
        assert status == 200
        return json.loads(body)["limits"]["rate"][0]["limit"][0]["remaining"]

    def must_wait(self, gate, project):
        """Returns for how many seconds a project is told to wait."""
        status, headers, _ = self.put(gate, project)
        assert status == 429
        return int(headers["Retry-After"])


def stored(redis) -> dict[bytes, int]:
    """Returns what the server keeps: when each key is given back, in microseconds."""
    keys = re.findall(rb"[\w-]+:spent:[0-9a-f]+", redis.command_line("KEYS *"))
    values = {key: re.findall(rb"\r\n(\d+)\r\n", redis.command_line("GET " + key.decode())) for key in keys}
    return {key: int(value[0]) for key, value in values.items() if value}


def linked(gates):
    for gate in gates:
        until("the link stands", lambda gate=gate: gate.stands("other gates"))
        until("and the others are heard", lambda gate=gate: gate.metric("glance_gate_fleet_gates ") == len(gates) - 1)


def test_what_a_project_has_spent_at_one_gate_it_has_not_left_at_the_other(world, redis, tmp_path):
    callers = Callers(world, tmp_path, 'requests = 60\nper = "1h"\nburst = 4')
    left, spend, must_wait = callers.left, callers.spend, callers.must_wait
    sections = redis_section(redis) + callers.section
    with running(world, tmp_path, sections, sections) as gates:
        one, other = gates
        linked(gates)
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
            until(f"{wait} s is told", lambda gate=gate: wait - 30 < must_wait(gate, "flood") <= wait, SOON)

        before = stored(redis)
        redis.stop()
        try:
            for gate in gates:
                until("the loss is noticed", lambda gate=gate: not gate.stands("other gates"), 4)
                assert spend(gate, "alone", 5) == [200, 200, 200, 200, 429]
        finally:
            redis.start()
        for gate in gates:
            until("the link is back", lambda gate=gate: gate.stands("other gates"), 4)
        # the server has forgotten all of it, and was told again
        key, at = max(before.items(), key=lambda one: one[1])
        until("it is told again", lambda: abs(stored(redis).get(key, 0) - at) < 2e6, SOON)
        for gate in gates:
            until("it is known still", lambda gate=gate: wait - 30 < must_wait(gate, "flood") <= wait, SOON)
        assert spend(one, "late", 2) == [200, 200] and spend(other, "late", 1) == [200]
        for gate in gates:
            until("it is known again", lambda gate=gate: left(gate, "late") == 1, SOON)


def test_one_gate_gives_back_as_fast_with_others_as_without(world, redis, tmp_path):
    callers = Callers(world, tmp_path, 'requests = 60\nper = "1m"\nburst = 1')
    sections = redis_section(redis) + callers.section
    with running(world, tmp_path, sections, sections) as gates:
        linked(gates)
        assert callers.spend(gates[0], "paced", 1) == [200]
        for _ in range(5):
            wait = callers.must_wait(gates[0], "paced")
            assert wait == 1
            time.sleep(wait)  # who does as told is not refused
            assert callers.spend(gates[0], "paced", 1) == [200]


def test_what_stands_at_the_server_refuses_nobody_for_long(world, redis, tmp_path):
    callers = Callers(world, tmp_path, 'requests = 60\nper = "1h"\nburst = 2')
    sections = redis_section(redis, 'prefix = "odd"') + callers.section
    with running(world, tmp_path, sections, sections) as gates:
        linked(gates)
        gate = gates[0]
        keys = set()

        def key_of(project):
            assert callers.spend(gate, project, 1) == [200]
            # besides those of what Keystone and Glance were asked, which are given back within a second
            soon = (time.time() + 30) * 1e6
            told = until("it is told", lambda: {key for key, at in stored(redis).items() if at > soon and key.startswith(b"odd:")} - keys,
                         SOON)
            keys.update(told)
            return told.pop().decode()

        # a clock that was turned back by a day: the bursts of gates, and not a day
        far = key_of("far")
        redis.command_line(f"SET {far} {(int(time.time()) + 86400) * 1000000}")
        assert callers.spend(gate, "far", 1) == [200], "the other of the burst"
        # sixteen gates may be there until it is known how many
        until("it is known", lambda: callers.must_wait(gate, "far") >= 1979, SOON)
        assert callers.must_wait(gate, "far") <= 1980
        # what is no number, and what is no text
        for number, odd in enumerate(["SET {} x", "SET {} nan", "DEL {}\r\nLPUSH {} x"]):
            key = key_of(f"odd-{number}")
            redis.command_line(odd.format(key, key))
            assert callers.spend(gate, f"odd-{number}", 1) == [200]
            until("it is put right", lambda key=key: redis.command_line(f"GET {key}").split(b"\r\n")[2].isdigit(), SOON)
        assert gate.told("not connected", "redis") == 0 and gate.told("the server refuses", "redis") == 0


@pytest.mark.parametrize("missing", ["~glance-gate:spent:*", "+eval", "+get", "+set"])
def test_a_server_that_does_not_let_count_still_brings_news(world, redis, tmp_path, missing):
    rights = "~glance-gate:spent:* &glance-gate:news +@connection +publish +subscribe +eval +time +get +set"
    redis.command_line("ACL SETUSER newsonly reset on >planted-news resetchannels " + rights.replace(missing, ""))
    callers = Callers(world, tmp_path, 'requests = 60\nper = "1h"\nburst = 2')
    section = f'[redis]\nurl = "redis://newsonly@127.0.0.1:{redis.port}"\npassword = "planted-news"\n' + callers.section
    with running(world, tmp_path, section, section) as gates:
        linked(gates)
        for gate in gates:
            until("it is told", lambda gate=gate: gate.told("the server refuses to count", "redis") == 1)
            assert callers.spend(gate, "alone", 3) == [200, 200, 429]
        refused = 'glance_gate_fleet_rate_syncs_total{outcome="refused"}'
        until("it goes on asking", lambda: gates[0].metric(refused) >= 10)
        for gate in gates:
            assert gate.told("the server refuses to count", "redis") == 1 and gate.told("not connected", "redis") == 0
        redis.command_line("ACL SETUSER newsonly " + missing)
        for gate in gates:
            until("it counts", lambda gate=gate: gate.told("the server counts again", "redis") == 1)
        assert callers.spend(gates[0], "together", 2) == [200, 200]
        until("what was spent at the one is known at the other", lambda: callers.left(gates[1], "together") == 0, SOON)


def test_a_server_that_becomes_a_replica_is_left(world, redis, tmp_path):
    callers = Callers(world, tmp_path, 'requests = 60\nper = "1h"\nburst = 2')
    sections = redis_section(redis) + callers.section
    with running(world, tmp_path, sections, sections) as gates:
        linked(gates)
        redis.command_line("REPLICAOF 127.0.0.1 1")
        try:
            callers.spend(gates[0], "one", 1)
            until("another is looked for", lambda: gates[0].told("not connected", "redis") >= 1)
        finally:
            redis.command_line("REPLICAOF NO ONE")
        until("it counts", lambda: gates[0].told("the server counts again", "redis") >= 1 or gates[0].stands("other gates"))
