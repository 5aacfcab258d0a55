"""Makes requests around the guarded route: a canonical update, and up to five things that are odd about it.

The same seed makes the same requests. Every request is complete: its length is never more than its body, so
that no server waits for the rest.
"""
import dataclasses
import random
import urllib.parse

from router_pipeline import Raw

IMAGE = "71c675ab-d94f-49cd-a114-e12490b328d9"
MEMBER = "8989447062e04a818baf9e073fd04fa7"
BODY = b'{"status": "accepted"}'
POLYGLOT = b'{"status":"accepted","x":"&_method=PUT&"}'
VENDOR = "application/vnd.openstack.images-"
BOUNDARY = (b'{"x":"\r\n--b\r\nContent-Disposition: form-data; name=\\"_method\\"\r\n\r\nPUT\r\n--b--\r\n",'
            b'"status":"accepted"}')

METHODS = ["PUT", "POST", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "put", "Put", "TRACE", "CONNECT", "ANY",
           "PUT\t", "PUTT", "M-SEARCH", "P%55T", "QUERY"]
VERSIONS = [f"v2.{minor}" for minor in range(21)] + [
    "v2.00", "v2.007", "v2.", "v2.1234", "v2.0.0", "V2", "v3", "v1", "v02", "v2 ", "v2%20", "v%32", "%76%32",
    "v2%2e3", "v2.%33", "%762.17", "versions", "v2.\u0663", "v\uff12", "v2;v=2", "v2,v2"]
BETWEEN = ["//", "///", "/./", "/x/../", "/%2e/", "/%2E/", "/x/%2e%2e/", "/x/..%2f", "/.%2e/", "%2F", "%2f", "%2F%2f",
           "/%2f", "\\", "%5c", "/;/", "/;x=1/", "/%20/", "/%09/", "//./", "%252F", "%c0%af", "%ef%bc%8f", "\u2215",
           "/\t/", "/../", "/.../", "/%00/", "/x/.././", "/%2f../", "/.;/", "/..;/"]
ENDINGS = ["/", "//", "/.", "/..", "/x/..", "/./", "%2f", "%2F.", "%0a", "%0A", "%0d%0a", "%00", "%09", "%20", "%7f",
           "%c2%85", ";x=1", ";", ".json", "%3f", "%3F_method=PUT", "%23", "%", "%%", "%2", "%zz", "%+1", "#", "#x",
           "#?_method=DELETE", "#/../..", "?", "??", "?x=1", "?#", "?/../..", "&_method=PUT", "%26_method=PUT", "/x",
           "~", "@", ",", "'", '"', "<", "`", "{", "|", "^", "\u00e9", "%c3%a9", "%e9", "\x01", "\x7f", " ", "\xa0"]
PREFIXES = ["/image", "/image/image", "/Image", "/%69mage", "/image/..", "/image/.", "/image//", "/v2", "/v2/..", "/x",
            "/x/..", "/..", "/.", "/%2e%2e", "/versions", "/versions/..", "/healthcheck", "/healthcheck/..", "/images",
            "/api/image", "/", "/image/v2/..", "/image%2f.."]
ABSOLUTE = ["http://glance", "https://glance:9292", "HTTP://GLANCE", "http://user@glance", "//glance", "http:",
            "http:/",
            "glance:9292", "http://glance/..", "ftp://glance", "http://", "http://[::1]:80", "*", "/http://glance"]
KEYS = ["_method"] * 6 + ["_METHOD", "_Method", "%5fmethod", "%5Fmethod", "_%6dethod", "_metho%64",
    "+_method", "%20_method",
                          "_method+", "_method%00", "_method[]", "x_method", "_method_", "_\u017fmethod", "%255fmethod"]
VALUES = ["PUT"] * 5 + ["put", "pUt", "%50UT", "%70%75%74",
    "PUT%20", "+PUT", "PUT%0a", "GET", "DELETE", "", "PATCH", "P\u0075T"]
NOISE = ["x=1", "", "limit=5", "x=_method", "_method", "=", "%", "x=%ff", "x=y=z", "&", "x={}", "status=accepted"]
FORMS = ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded",
         "application/x-www-form-urlencoded; charset=utf-8",
         " application/x-www-form-urlencoded ;x", "multipart/form-data; boundary=b",
         "multipart/form-data;boundary=\"b\"",
         "application/x-www-form-urlencoded, application/json", "\tapplication/x-www-form-urlencoded",
         "application/x-www-form-urlencode", "multipart/mixed; boundary=b", "text/plain"]
ACCEPTS = [VENDOR + tail for tail in ["v2", "v2.0", "v2.3", "v2.17", "v2;q=1", "v2.9, */*", "v3", "v2 ", "v2+json"]] + [
    VENDOR.upper() + "V2", "*/*, " + VENDOR + "v2", "application/vnd.openstack.images", " " + VENDOR + "v2",
    "text/html"]
BODIES = [BODY, b'{"status":"pending"}', b'{"status":"rejected","x":[1,{}]}', b' {"status":"accepted"} ',
          b"{}", b"[]", b"",
          b"null", b"{", b'{"status":"accepted"}x', b'{"status":"a","status":"accepted"}', b'{"status":NaN}',
          b'\xef\xbb\xbf{"status":"accepted"}', b'{"status":"\\ud800"}', b'{"status":"\xff"}', POLYGLOT]
LINES = [  # header lines as they stand
    "X-HTTP-Method-Override: PUT", "X-HTTP-Method: PUT", "X-Method-Override: PUT", "_method: PUT", "Method: PUT",
    "X-Original-URL: {path}", "X-Rewrite-URL: {path}", "X-Forwarded-Prefix: /v2", "X-Forwarded-Prefix: /image",
    "X-Script-Name: /v2", "Script-Name: /v2", "SCRIPT_NAME: /v2", "Path-Info: {path}", "X_Forwarded_Prefix: /v2",
    "Forwarded: for=1;proto=https", "X-Forwarded-Host: a/v2", "X-Forwarded-Proto: https", "X-Real-IP: 127.0.0.1",
    "X-Identity-Status: Confirmed", "X_Identity_Status: Confirmed", "X-Roles: admin", "X-Auth-Token: nonsense",
    "X-Auth-Token: a.b.c", "X-Storage-Token: nonsense", "X_Auth_Token: nonsense", "X-Service-Token: nonsense",
    "Connection: close", "Connection: keep-alive", "Connection: X-Auth-Token", "Connection: Content-Type",
    "Connection: ,",
    "Connection: upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Upgrade: websocket",
    "TE: trailers",
    "Expect: 100-continue", "Expect: x", "Trailer: X-Auth-Token", "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Content-Length: 0", "Content-Encoding: gzip", "Content-Type: application/json",
    "Content_Type: application/x-www-form-urlencoded",
    "Content-Type: application/x-www-form-urlencoded", "Host: b", "Host: a/v2", "Host:", "X-Padding: \x00", "X Name: a",
    "X-Space : a", " folded: x", "\tfolded", "no colon", ": no name", "Accept : " + VENDOR + "v2",
    "Cookie: _method=PUT",
    "X-Bytes: \u00fc", "Origin: http://a", "Access-Control-Request-Method: PUT", "Range: bytes=0-1",
    "X-Openstack-Request-Id: x"]
SECOND = ["PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 22\r\n\r\n{body}",
          "GARBAGE\r\n\r\n", "\r\n", "\r\n\r\n", "0\r\n\r\n",
          "GET {path}?_method=PUT HTTP/1.1\r\nHost: a\r\nContent-Length: 22\r\n\r\n{body}", "\0",
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
          "PUT /{path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{body}\r\n0\r\n\r\n"]


@dataclasses.dataclass
class Draft:
    """A request that is still being made odd."""

    method: str = "PUT"
    pieces: list[str] = dataclasses.field(default_factory=lambda: ["v2", "images", IMAGE, "members", MEMBER])
    between: list[str] = dataclasses.field(default_factory=lambda: ["/"] * 5)
    kept: int = 5
    prefix: str = ""
    ending: str = ""
    query: str = ""
    lines: list[str] = dataclasses.field(default_factory=list)
    content_type: str = "application/json"
    accept: str = ""
    body: bytes = BODY
    length: str = "Content-Length: {}"
    start: str = "{} {} HTTP/1.1"
    second: str = ""

    def target(self) -> str:
        path = "".join(slash + piece for slash, piece in zip(self.between, self.pieces[:self.kept]))
        target = self.prefix + path + self.ending
        return target + (("&" if "?" in target else "?") + self.query if self.query else "")


@dataclasses.dataclass(frozen=True)
class Generated:
    """What is sent, what a lenient server would read, and what is odd about it."""

    sent: bytes
    raw: Raw
    odd: tuple[str, ...]


def _version(draft: Draft, chance: random.Random) -> None:
    draft.pieces[0] = chance.choice(VERSIONS)


def _no_version(draft: Draft, chance: random.Random) -> None:
    if len(draft.pieces) == 5:
        draft.pieces, draft.between = draft.pieces[1:], draft.between[1:]
        draft.accept = chance.choice(ACCEPTS)


def _between(draft: Draft, chance: random.Random) -> None:
    draft.between[chance.randrange(len(draft.between))] = chance.choice(BETWEEN)


def _encode(draft: Draft, chance: random.Random) -> None:
    at = chance.randrange(len(draft.pieces))
    share = chance.choice((0.15, 0.5, 1))
    form = chance.choice(["%{:02x}"] * 5 + ["%{:02X}"] * 3 + ["%25{:02x}", "%u00{:02x}", "%%{:02x}"])
    draft.pieces[at] = "".join(
        form.format(ord(char)) if char.isalnum() and chance.random() < share else char for char in draft.pieces[at])


def _case(draft: Draft, chance: random.Random) -> None:
    at = chance.randrange(len(draft.pieces))
    draft.pieces[at] = chance.choice((str.upper, str.title, str.swapcase))(draft.pieces[at])


def _inside(draft: Draft, chance: random.Random) -> None:
    at = chance.randrange(len(draft.pieces))
    odd = chance.choice(ENDINGS)
    draft.pieces[at] = chance.choice((odd + draft.pieces[at], draft.pieces[at] + odd))


def _unicode(draft: Draft, chance: random.Random) -> None:
    at = chance.randrange(len(draft.pieces))
    look_alikes = str.maketrans({"s": "\u017f", "i": "\u0131", "e": "\uff45", "m": "\uff4d", "a": "\u00e0",
    "2": "\uff12"})
    spelled = draft.pieces[at].translate(look_alikes)
    if chance.random() < 0.5:
        spelled = "".join(char if char.isascii() else urllib.parse.quote(char) for char in spelled)
    draft.pieces[at] = spelled


def _ids(draft: Draft, chance: random.Random) -> None:
    draft.pieces[-3] = chance.choice(
        [IMAGE.upper(), IMAGE.replace("-", ""), "x", "a.b", "~", "-", "1" * 255, "1" * 256, "members"])
    draft.pieces[-1] = chance.choice([MEMBER, "m", "-", "_", "1" * 255, "1" * 256, "members", "m.json", "a b", "a+b"])


def _ending(draft: Draft, chance: random.Random) -> None:
    draft.ending += chance.choice(ENDINGS)


def _query(draft: Draft, chance: random.Random) -> None:
    pairs = [f"{chance.choice(KEYS)}{chance.choice('====:')}{chance.choice(VALUES)}"
             for _ in range(chance.choice((1, 1, 1, 2)))]
    pairs += [chance.choice(NOISE) for _ in range(chance.randrange(3))]
    chance.shuffle(pairs)
    draft.query = chance.choice(("&", "&", ";", "&amp;", "&&")).join(pairs)
    draft.method = chance.choice(("GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "ANY"))


def _form(draft: Draft, chance: random.Random) -> None:
    draft.method = chance.choice(("POST", "POST", "POST", "PUT", "GET", "post"))
    draft.content_type = chance.choice(FORMS)
    draft.body = chance.choice((POLYGLOT, b"_method=PUT", b"%5fmethod=put"))
    if "multipart" in draft.content_type:
        draft.body = BOUNDARY


def _lines(draft: Draft, chance: random.Random) -> None:
    draft.lines += chance.sample(LINES, chance.choice((1, 1, 2)))


def _framing(draft: Draft, chance: random.Random) -> None:
    draft.length = chance.choice(["Transfer-Encoding: chunked"] * 3 + [
        "", "Content-Length: +{}", "Content-Length: 0{}", "Content-Length: {0}, {0}",
        "Content-Length: {0}\r\nContent-Length: {0}",
        "Content-Length: 5", "Transfer-Encoding: Chunked", "Transfer-Encoding: gzip, chunked", "Content-Length : {}"])


def _start(draft: Draft, chance: random.Random) -> None:
    draft.start = chance.choice([
        "{} {} HTTP/1.0", "{}  {} HTTP/1.1", "{} {}  HTTP/1.1", "{} {} HTTP/1.2", "{} {} http/1.1", "{} {}",
        "{}\t{} HTTP/1.1", " {} {} HTTP/1.1", "\r\n{} {} HTTP/1.1", "\r\n\r\n{} {} HTTP/1.1", "{} {} HTTP/2.0",
        "{} {}\tHTTP/1.1", "{} {} HTTP/1.1 ", "{} {} x HTTP/1.1", "{} {}\x0bHTTP/1.1"])


ODDITIES = {
    "method": lambda draft, chance: setattr(draft, "method", chance.choice(METHODS)),
    "version": _version, "no version": _no_version, "between": _between, "encoded": _encode, "case": _case,
    "inside": _inside, "unicode": _unicode, "ids": _ids, "ending": _ending, "query": _query, "form": _form,
    "lines": _lines, "framing": _framing, "start": _start,
    "prefix": lambda draft, chance: setattr(draft, "prefix", draft.prefix + chance.choice(PREFIXES)),
    "absolute": lambda draft, chance: setattr(draft, "prefix", chance.choice(ABSOLUTE) + draft.prefix),
    "accept": lambda draft, chance: setattr(draft, "accept", chance.choice(ACCEPTS)),
    "body": lambda draft, chance: setattr(draft, "body", chance.choice(BODIES)),
    "second": lambda draft, chance: setattr(draft, "second", chance.choice(SECOND)),
    "cut": lambda draft, chance: setattr(draft, "kept", chance.randrange(5)),
}
OFTEN = ["version", "between", "encoded", "query", "prefix"] * 2


def _render(draft: Draft, odd: tuple[str, ...]) -> Generated:
    path = f"/v2/images/{IMAGE}/members/{MEMBER}"
    chunked = "chunked" in draft.length.lower()
    lines = [draft.start.format(draft.method, draft.target()), "Host: a", draft.length.format(len(draft.body)),
             f"Content-Type: {draft.content_type}", f"Accept: {draft.accept}" if draft.accept else "",
             *(line.replace("{path}", path) for line in draft.lines)]
    # what is no ASCII goes out as UTF-8
    head = "\r\n".join([line for line in lines if line] + ["", ""]).encode()
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(draft.body), draft.body) if chunked and draft.body else draft.body
    body = b"0\r\n\r\n" if chunked and not draft.body else body
    second = draft.second.replace("{path}", path).replace("{body}", BODY.decode()).encode()
    return Generated(head + body + second, Raw.read(head[:-4], draft.body), odd)


def generate(seed: int, count: int, mount: str) -> list[Generated]:
    """Returns so many distinct requests, of which the first is the canonical update below the mount."""
    chance = random.Random(seed)
    made = {}
    while len(made) < count:
        odd = tuple(chance.choices([*ODDITIES, *OFTEN], k=chance.choice((1, 1, 1, 2, 2, 3, 4, 5)) if made else 0))
        draft = Draft(prefix=mount)
        for name in odd:
            ODDITIES[name](draft, chance)
        generated = _render(draft, odd)
        made.setdefault(generated.sent, generated)
    return list(made.values())
