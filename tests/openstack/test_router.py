"""No spelling of a member update gets past the gate: Glance's own router judges what does.

Each generated request goes through the real gate without a valid token. What the gate forwards all the same is
given, byte for byte, to Glance's pipeline in this process (`router_pipeline.py`): if that runs an update, the
request went around the guard. Keystone and Glance need not run.
"""
import collections
import contextlib
import os
import re
import socket

import pytest

import gate as gates
import router_stub
from router_pipeline import Pipeline
from router_requests import generate

SEED, COUNT = (int(os.environ.get(name, default)) for name, default in
               (("ROUTER_SEED", 20261123), ("ROUTER_COUNT", 4000)))
GUARDED, REFUSED = {401}, {400, 405, 406, 415, 431}
# it ends the connection, so that reading to the end ends, and the gate answers it without a neighbour
LAST = b"GET /healthcheck HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Pipeline(tmp_path_factory.mktemp("glance"), monkeypatch)


@contextlib.contextmanager
def _between_stubs(folder, **settings):
    """Yields the address of a gate and the stub behind it."""
    if gates.OVERRIDE:
        pytest.skip("needs a gate of its own")
    with router_stub.keystone() as keystone, router_stub.glance() as upstream:
        stack = {"keystone": keystone.url, "glance": upstream.url, "state": folder, "new_defaults": True,
                 "users": {"glance": {"password": "unused", "project": "service"}}}
        with gates.running(stack, folder, **settings) as gate:
            yield gates.address(gate.url), upstream


def _statuses(address: tuple[str, int], sent: bytes) -> list[int]:
    """Returns the final status of every answer on a connection that these bytes begin."""
    received = b""
    with socket.create_connection(address, timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent + LAST)
            while more := connection.recv(65536):
                received += more
    return [status for status in map(int, re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)) if status >= 200]


def _kind(statuses: list[int]) -> str:
    first = statuses[0] if statuses else 0
    if first == router_stub.PASSED:
        return "passed"
    return "guarded" if first in GUARDED else "refused" if first in REFUSED else "unexpected"


def _judge(requests, address, upstream, pipeline):
    """Returns counts, what got around the guard, and what was answered in no known way."""
    counts, bypasses, odd = collections.Counter(generated=len(requests)), [], []
    for generated in requests:
        statuses = _statuses(address, generated.sent)
        kind = _kind(statuses)
        received = upstream.drain()
        # what reaches the upstream is answered by it: a refusal has asked nobody
        if kind == "unexpected" or len(received) != statuses.count(router_stub.PASSED):
            odd.append(f"{kind} {statuses}: {generated}, upstream saw {received}")
        for raw in received:
            reached, front = pipeline.furthest(raw)
            if reached in ("update", "routed"):
                bypasses.append(f"{reached} behind {front}: {generated}, upstream saw {raw}")
        counts[kind] += 1
        if pipeline.furthest(generated.raw)[0] == "update":
            counts["would-update"] += 1
            counts[f"would-update and {kind}"] += 1
    return counts, bypasses, odd


@pytest.mark.parametrize("mount", ["", "/image"], ids=["at-the-root", "below-a-mount"])
def test_nothing_that_glance_would_run_as_an_update_gets_past_the_gate(mount, pipeline, tmp_path, request):
    with _between_stubs(tmp_path, mount=mount) as (address, upstream):
        counts, bypasses, odd = _judge(generate(SEED, COUNT, mount), address, upstream, pipeline)
    line = f"router, mount {mount or '/'}: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    request.config.closing_lines = [*getattr(request.config, "closing_lines", []), line]
    assert not bypasses, f"{len(bypasses)} bypasses:\n" + "\n".join(bypasses[:10])
    assert not odd, f"{len(odd)} odd answers:\n" + "\n".join(odd[:10])
    # else the test means nothing
    assert counts["would-update"] > 300 and min(counts[kind] for kind in ("guarded", "refused", "passed")) > 100, line


def test_a_gate_that_only_observes_is_caught(pipeline, tmp_path):
    with _between_stubs(tmp_path, enforcement="observe") as (address, upstream):
        _, bypasses, _ = _judge(generate(SEED, 200, ""), address, upstream, pipeline)
    assert bypasses
