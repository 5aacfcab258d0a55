"""Servers that record what reaches them, byte for byte: the neighbours of a gate that never has a valid token."""
import json
import socket
import threading

from router_pipeline import Raw

PASSED = 203  # nobody else answers with it: whoever sees it got through
TOKEN = {"token": {"user": {"id": "g" * 32}, "project": {"id": "s" * 32}, "roles": [{"name": "admin"}],
                   "expires_at": "2100-01-01T00:00:00.000000Z"}}
UNKNOWN = {"error": {"code": 404, "title": "Not Found", "message": "no such token"}}


class _Ended(Exception):
    """The other side has closed."""


class Recorder:
    """A server on a port of its own that answers every request alike."""

    def __init__(self, answer):
        self._answer, self._lock, self._seen = answer, threading.Lock(), []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://{}:{}".format(*self._listener.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def drain(self) -> list[Raw]:
        """Returns what came since the last call, without the gate's own questions after our health."""
        with self._lock:
            seen, self._seen = self._seen, []
        return [raw for raw in seen if (raw.method, raw.target) != ("GET", "/healthcheck")]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""

        def until(mark: bytes) -> bytes:
            nonlocal buffer
            while mark not in buffer:
                more()
            found, buffer = buffer.split(mark, 1)
            return found

        def exactly(count: int) -> bytes:
            nonlocal buffer
            while len(buffer) < count:
                more()
            found, buffer = buffer[:count], buffer[count:]
            return found

        def more() -> None:
            nonlocal buffer
            received = connection.recv(65536)
            if not received:
                raise _Ended
            buffer += received

        with connection:
            try:
                while True:
                    head = until(b"\r\n\r\n")
                    raw = Raw.read(head, b"")
                    raw = Raw(raw.method, raw.target, raw.headers, _body(raw, until, exactly))
                    with self._lock:
                        self._seen.append(raw)
                    connection.sendall(self._answer(raw))
            except (_Ended, ConnectionError):
                pass


def _body(raw: Raw, until, exactly) -> bytes:
    fields = {name.lower(): value for name, value in raw.headers}
    if "transfer-encoding" not in fields:
        return exactly(int(fields.get("content-length", 0)))
    body = b""
    while size := int(until(b"\r\n"), 16):
        body += exactly(size)
        assert exactly(2) == b"\r\n"
    while until(b"\r\n"):
        pass
    return body


def _reply(status: int, headers: str = "", document: dict | None = None) -> bytes:
    body = json.dumps(document).encode() if document else b""
    return f"HTTP/1.1 {status} Stub\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def glance() -> Recorder:
    """Returns a server in the place of Glance, which grants everything."""
    return Recorder(lambda _: _reply(PASSED))


def keystone() -> Recorder:
    """Returns a server in the place of Keystone, which knows the gate and nobody else."""
    json_type = "Content-Type: application/json\r\n"
    return Recorder(lambda raw: _reply(201, json_type + "X-Subject-Token: own\r\n", TOKEN) if raw.method == "POST"
                    else _reply(404, json_type, UNKNOWN))
