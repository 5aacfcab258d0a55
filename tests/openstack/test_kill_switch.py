"""The kill switch before the real Glance, under load: each hand acts within a second, and no request fails."""
import http.client
import json
import re
import subprocess
import threading
import time

import pytest

import gate as gates

PROMISE = 1.0  # seconds
# to an owner who names nobody of the member list: by the gate, and by a Glance with the new policies
ENFORCED, OBSERVED = 403, 404
CLIENTS = 3  # of each kind


class Load:
    """Clients that go on until they are stopped, each on one connection that is kept."""

    def __init__(self, gate, world):
        self.gate, self.stopped, self.failed = gate, threading.Event(), []
        self.permitted, self.refused, self.lock = 0, [], threading.Lock()
        image, beta = world.ids["img.sharedbeta"], world.ids["p.beta"]
        calls = [("beta", f"/v2/images/{image}/members/{beta}"), ("alpha", f"/v2/images/{image}/members/nobody")]
        self.threads = [threading.Thread(target=self._client, args=(world.tokens[caller], path, caller == "beta"))
                        for caller, path in calls for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def settles_at(self, status: int, since: float) -> None:
        """Waits until owners get this status and no other."""
        deadline = time.monotonic() + 30
        while True:
            with self.lock:
                newest = [known for at, known in self.refused[-20:] if at > since]
            if len(newest) == 20 and set(newest) == {status}:
                return
            assert not self.failed and time.monotonic() < deadline, (self.failed, newest)
            time.sleep(0.02)

    def took(self, flipped: float, new: int) -> tuple[float, float]:
        """Returns when the first answer of the new kind was there, and the last of the old, after the flip."""
        after = [(at - flipped, status) for at, status in self.refused if at >= flipped]
        return min(at for at, status in after if status == new), max(
            (at for at, status in after if status != new), default=0.0)

    def _client(self, token: str, path: str, is_permitted: bool) -> None:
        connection = http.client.HTTPConnection(*gates.address(self.gate.url), timeout=20)
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
        body, wanted = json.dumps({"status": "accepted"}), {200} if is_permitted else {ENFORCED, OBSERVED}
        try:
            while not self.stopped.is_set():
                connection.request("PUT", path, body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status not in wanted or answer.will_close:
                    raise AssertionError(f"{path}: {answer.status}, the last one: {answer.will_close}")
                with self.lock:
                    if is_permitted:
                        self.permitted += 1
                    else:
                        self.refused.append((time.monotonic(), answer.status))
                time.sleep(0.01)
        except Exception as error:  # every one is a failed request
            self.failed.append(repr(error))
        finally:
            connection.close()


def test_each_hand_acts_within_a_second_and_no_request_fails(stack, world, against_itself, tmp_path, request):
    if gates.OVERRIDE or not stack["new_defaults"]:
        pytest.skip("needs a gate of its own, and answers of Glance that tell it from the gate")
    with gates.running(stack, tmp_path, profile="documented", rules='kill_switch = "off"') as gate:
        config, admin = tmp_path / "gate.toml", gate.admin.removeprefix("http://")

        def order(*words: str) -> None:
            command = [gates.BINARY, *words, "--config", config, "--admin", admin]
            subprocess.run(command, check=True, capture_output=True)

        def flip(hand: str, position: str) -> None:
            if hand == "file":
                switch = tmp_path / "observe_all"
                switch.touch() if position == "on" else switch.unlink()
            elif hand == "command":
                order("kill-switch", position)
            else:
                text = re.sub('kill_switch = ".*"', f'kill_switch = "{position}"', config.read_text())
                config.write_text(text)
                order("reload")

        load, began, lines = Load(gate, world), time.monotonic(), []
        try:
            load.settles_at(ENFORCED, began)
            for hand in ("file", "command", "config"):
                for position, status in (("on", OBSERVED), ("off", ENFORCED)):
                    flip(hand, position)
                    flipped = time.monotonic()  # how long a busy machine takes to start a command is not the switch's
                    load.settles_at(status, flipped)
                    first_new, last_old = load.took(flipped, status)
                    lines.append(f"{hand} {position} {first_new:.2f}/{last_old:.2f}")
                    assert max(first_new, last_old) < PROMISE, lines
        finally:
            load.stop()
        world.left.pop("sharedbeta", None)
        count = load.permitted + len(load.refused)
        line = (f"kill switch, first new/last old answer in s: {', '.join(lines)}; "
                f"{count} calls, {count / (time.monotonic() - began):.0f} a second, {len(load.failed)} failed")
        print(line)
        request.config.closing_lines = [*getattr(request.config, "closing_lines", []), line]
        assert not load.failed, load.failed
