"""A raw HTTP/1.1 client that sends exactly the bytes it is given.

The point of the differential is requests that a well-behaved client library
would repair or refuse, so the library is left out: one connection a request,
the head written as it stands, the answer parsed strictly enough to be compared.
"""
import dataclasses
import select
import socket


@dataclasses.dataclass
class Answer:
    """What came back; status None when the connection ended without an answer."""

    status: int | None
    headers: list[tuple[str, str]]
    body: bytes
    framing: str = ""  # what ended the body: length, chunked, close, none

    def values(self, name: str) -> list[str]:
        """Returns every value of the header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """Returns the first value of the header, None without one."""
        return next(iter(self.values(name)), None)


class _Reader:
    """Buffered reads from a socket; a reset counts as the end."""

    def __init__(self, connection: socket.socket):
        self.connection, self.buffer = connection, b""

    def more(self) -> bool:
        try:
            received = self.connection.recv(65536)
        except (ConnectionError, BrokenPipeError):
            received = b""
        self.buffer += received
        return bool(received)

    def until(self, mark: bytes) -> bytes | None:
        while mark not in self.buffer:
            if not self.more():
                return None
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count and self.more():
            pass
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def rest(self) -> bytes:
        while self.more():
            pass
        found, self.buffer = self.buffer, b""
        return found


def _head(reader: _Reader) -> tuple[int, list[tuple[str, str]]] | None:
    head = reader.until(b"\r\n\r\n")
    if head is None:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return int(first.split(" ")[1]), headers


def _chunked(reader: _Reader) -> bytes:
    body = b""
    while size := int((reader.until(b"\r\n") or b"0").split(b";")[0], 16):
        body += reader.exactly(size)
        reader.exactly(2)
    reader.until(b"\r\n")
    return body


def _answer(reader: _Reader, method: str) -> Answer:
    head = _head(reader)
    while head and head[0] < 200:  # 100 Continue and its kin say nothing yet
        head = _head(reader)
    if not head:
        return Answer(None, [], b"")
    answer = Answer(*head, b"")
    if method == "HEAD" or answer.status in (204, 304):
        answer.framing = "none"
    elif "chunked" in (answer.value("transfer-encoding") or "").lower():
        answer.framing, answer.body = "chunked", _chunked(reader)
    elif (length := answer.value("content-length")) is not None:
        answer.framing, answer.body = "length", reader.exactly(int(length))
    else:
        answer.framing, answer.body = "close", reader.rest()
    return answer


def send(address: tuple[str, int], method: str, head: bytes, body: bytes,
         wait_for_continue: float = 0, timeout: float = 60) -> Answer:
    """Returns the answer to the head and body, sent byte for byte on a new connection.

    A refusal may arrive while a long body is still being written: writing stops
    then, and the answer counts.
    """
    with socket.create_connection(address, timeout=timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = _Reader(connection)
        try:
            if wait_for_continue:
                connection.sendall(head)
                select.select([connection], [], [], wait_for_continue)
                connection.sendall(body)
            elif len(body) < 65536:
                connection.sendall(head + body)
            else:
                connection.sendall(head)
                _send_long(connection, body)
        except (ConnectionError, BrokenPipeError):
            pass  # the answer, if there is one, is in the receive buffer
        return _answer(reader, method)


def _send_long(connection: socket.socket, body: bytes) -> None:
    view = memoryview(body)
    while view:
        readable, writable, _ = select.select([connection], [connection], [], 60)
        if readable or not writable:
            return
        view = view[connection.send(view[:65536]):]
