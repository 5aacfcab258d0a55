"""Reads cases/*.jsonl and renders a case into the bytes of a request.

A case is a template: `{img.shared}` an image id, `{p.beta}` a project id,
`{u.beta}` a user id, `{token}` the token of the case's caller, `{token.beta}` of
somebody else, `{host}` the address the request goes to, `{length}` the length of
the body, `{rep:a*1000}` a thousand times `a`. `{img.shared:upper}`, `:nodash` and
`:pctdash` spell an id in another way. README.md says how to add one.
"""
import base64
import dataclasses
import json
import pathlib
import re

FOLDER = pathlib.Path(__file__).parent / "cases"
PLACE = re.compile(r"\{(rep:(?s:.+?)\*\d+|length|host|token(?:\.[\w-]+)?|(?:img|p|u)\.[\w-]+(?::\w+)?)\}")
SPELLINGS = {
    "": lambda value: value,
    "upper": str.upper,
    "nodash": lambda value: value.replace("-", ""),
    "pctdash": lambda value: value.replace("-", "%2d"),
}


@dataclasses.dataclass
class Case:
    """One request, and what must hold before it is sent."""

    id: str
    method: str
    target: str
    caller: str | None
    headers: list[list[str]] | None = None
    body: str | None = None
    body_base64: str | None = None
    chunks: list[int] | None = None
    version: str = "HTTP/1.1"
    wait_for_continue: float = 0
    members: dict[str, dict[str, str]] | None = None  # image -> member -> status, over the usual world
    after: str | None = None  # an event that comes before this case, see identities.py
    note: str = ""

    def images(self) -> set[str]:
        """Returns the names of the images this request can touch."""
        return set(re.findall(r"\{img\.([\w-]+)", self.target)) - {"missing", "deleted"}


def load() -> list[Case]:
    """Returns every case, in the order of file name and line."""
    found = []
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            found.append(Case(**json.loads(line)))
    doubled = {case.id for case in found if sum(other.id == case.id for other in found) > 1}
    assert not doubled, f"ids used twice: {doubled}"
    return found


def render(case: Case, world, host: str) -> tuple[bytes, bytes]:
    """Returns head and body of the request to the host."""
    body = _body(case, world, host)
    headers = case.headers
    if headers is None:
        headers = [["Host", "{host}"]]
        if case.caller:
            headers.append(["X-Auth-Token", "{token}"])
        headers.append(["Content-Type", "application/json"])
        if body is not None:
            headers.append(["Content-Length", "{length}"])
    length = len(body or b"")

    def fill(template: str) -> str:
        return _fill(template, case, world, host, length)

    lines = [f"{case.method} {fill(case.target)} {case.version}"]
    lines += [f"{name}: {fill(value)}" for name, value in headers]
    body = body or b""
    if case.chunks is not None:
        body = _chunk(body, case.chunks)
    return "\r\n".join(lines + ["", ""]).encode(), body


def _body(case: Case, world, host: str) -> bytes | None:
    if case.body_base64 is not None:
        return base64.b64decode(case.body_base64)
    return None if case.body is None else _fill(case.body, case, world, host, 0).encode()


def _chunk(body: bytes, sizes: list[int]) -> bytes:
    framed, at = b"", 0
    for size in sizes:
        framed += b"%x\r\n%s\r\n" % (size, body[at:at + size])
        at += size
    return framed + b"0\r\n\r\n"


def _fill(template: str, case: Case, world, host: str, length: int) -> str:
    def value(match: re.Match) -> str:
        name = match.group(1)
        if name.startswith("rep:"):
            text, _, count = name[4:].rpartition("*")
            return text * int(count)
        if name == "length":
            return str(length)
        if name == "host":
            return host
        if name.startswith("token"):
            return world.tokens[name[6:] or case.caller]
        name, _, spelling = name.partition(":")
        return SPELLINGS[spelling](world.ids[name])

    return PLACE.sub(value, template)
