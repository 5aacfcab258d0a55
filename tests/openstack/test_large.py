"""Images pass through the gate as a stream: whole, and without growing in memory.

LARGE_MIB sets the size (default 256). The gate may grow by 16 MiB, whatever the size.
"""
import hashlib
import http.client
import os

import pytest

from gate import address

MIB = 1024 * 1024
CHUNK = 64 * 1024  # what glanceclient sends; uWSGI itself resets chunks of a MiB
SIZE = int(os.environ.get("LARGE_MIB", "256")) * MIB
GROWTH = 16 * 1024  # KiB


def blocks(size, length, digest):
    """Yields `size` bytes in blocks that are never the same, and adds them to the digest."""
    block = os.urandom(length)
    for number in range(size // length):
        block = number.to_bytes(8, "big") + block[8:]
        digest.update(block)
        yield block


class Watch:
    """Fails when the gate's memory, now or at its peak, grew too much since it was made."""

    def __init__(self, gate):
        self.gate = gate
        self.before = None if gate.pid is None else gate.memory("VmRSS")

    def check(self, what):
        if self.before is None:
            return
        peak, now = self.gate.memory("VmHWM"), self.gate.memory("VmRSS")
        print(f"{what}: {self.before} KiB before, {now} after, {peak} at the peak")
        assert peak - self.before < GROWTH, f"{what}: the gate grew from {self.before} to {peak} KiB"


@pytest.fixture
def image(world):
    made = world.call("POST", "/v2/images", "alpha", json={
        "name": f"t-large-{world.mark}", "disk_format": "raw", "container_format": "bare"}).json()["id"]
    yield made
    world.call("DELETE", f"/v2/images/{made}")


def request(gate, method, path, headers, **arguments):
    connection = http.client.HTTPConnection(*address(gate.url), timeout=600)
    connection.request(method, path, headers=headers, **arguments)
    return connection, connection.getresponse()


def upload(gate, world, image, size, digest, chunked):
    headers = {"X-Auth-Token": world.tokens["alpha"], "Content-Type": "application/octet-stream"}
    headers |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
    connection, answer = request(gate, "PUT", f"/v2/images/{image}/file", headers,
                                 body=blocks(size, CHUNK if chunked else MIB, digest), encode_chunked=chunked)
    said = answer.read()
    connection.close()
    assert answer.status == 204, (answer.status, said)


def download(gate, world, image):
    connection, answer = request(gate, "GET", f"/v2/images/{image}/file", {"X-Auth-Token": world.tokens["alpha"]})
    assert answer.status == 200, answer.read()
    digest, size = hashlib.sha256(), 0
    while block := answer.read(MIB):
        digest.update(block)
        size += len(block)
    connection.close()
    return digest.hexdigest(), size


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_image_goes_up_and_comes_down_whole(gate, world, image, chunked):
    request(gate, "GET", f"/v2/images/{image}", {"X-Auth-Token": world.tokens["alpha"]})[0].close()  # warms the gate
    size = SIZE if not chunked else max(SIZE // 4, MIB)
    watch, sent = Watch(gate), hashlib.sha256()
    upload(gate, world, image, size, sent, chunked)
    watch.check("upload")
    assert download(gate, world, image) == (sent.hexdigest(), size)
    watch.check("download")
