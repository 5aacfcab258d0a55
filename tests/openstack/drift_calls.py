"""Generates member updates of all kinds, and says what the gate's contract makes of each.

The verdicts are worked out here once more, from the documents and from what a call was made of, so that they
do not come from the gate that is tested. A caller, an image, a member, a method, a media type and a body are
drawn apart from one another: most calls have one fault at most, many have several.
"""
import dataclasses
import gzip
import json
import random
import uuid

from world import IMAGES as MADE

# who is implied by whom in Keystone's bootstrap
IMPLIED = {"admin": {"admin", "manager", "member", "reader"}, "manager": {"manager", "member", "reader"},
           "member": {"member", "reader"}}
SAME_AS_BETA = {"beta-appcred", "beta-appcred-put", "beta-appcred-get", "beta-appcred-othersvc", "beta-appcred-tag",
                "gamma-trust-beta", "beta-minted"}
UNSCOPED = {"beta-unscoped", "domain-beta", "domain-admin", "system-admin"}
# their access rules name member updates alone
MAY_NOT_LOOK = {"beta-appcred-put", "beta-appcred-tag"}
UNKNOWN = {"beta-expired", "beta-revoked", "garbage"}
CALLERS = {
    "beta": 26, "alpha": 14, "gamma": 10, "admin": 4, "alpha-admin": 2, "beta-admin": 2, "beta-manager": 3,
    "beta-reader": 5, "alpha-reader": 3, "gamma-reader": 2, "beta-guest": 4, "nova": 1, "beta-unscoped": 2,
    "domain-beta": 1, "domain-admin": 1, "system-admin": 1, "beta-appcred": 2, "beta-appcred-put": 2,
    "beta-appcred-tag": 1, "beta-appcred-get": 2, "beta-appcred-othersvc": 1, "gamma-trust-beta": 2, "beta-minted": 2,
    "beta-expired": 1, "beta-revoked": 1, "garbage": 1, "none": 2, "empty": 1, "two": 1, "alias": 1, "blank-inside": 1,
    "too-long": 1}
IMAGES = {
    "shared": 20, "sharedbeta": 20, "nomember": 4, "private": 4, "community": 4, "public": 4, "was-shared-private": 3,
    "was-shared-community": 3, "was-shared-public": 3, "queued": 4, "protected": 3, "hidden": 3, "deactivated": 3,
    "deleted": 2, "removed": 3, "adminowned": 4, "missing": 4, "upper-case": 2, "no-uuid": 2}
# no image has such an id
IMPOSSIBLE = {"upper-case", "no-uuid"}
MEMBERS = {"beta": 60, "gamma": 10, "alpha": 8, "admin": 2, "nobody": 8, "long": 1}
METHODS = {"PUT": 90, "POST": 3, "PATCH": 2, "HEAD": 2, "BREW": 1, "GET": 1, "OPTIONS": 1}
# all of them are served by this Glance but the last, which it answers with a list of its versions
VERSIONS = {"v2": 70, "v2.0": 5, "v2.1": 3, "v2.7": 5, "v2.9": 5, "v2.13": 3, "v2.15": 5, "v2.17": 3, "v2.99": 1}
TYPES = {"application/json": 78, "none": 8, "application/json; charset=UTF-8": 3, "Application/JSON": 2,
         "text/plain": 3, "application/xml": 1, "application/octet-stream": 1, "twice": 1}
# refused before the guarded call is known, also when observing; they must not stand in the meter
AMBIGUOUS = {"form": 415, "underscore": 400, "override": 400, "slashes": 400, "vendor": 406}
# no judgement on a call
OUTAGES = {"keystone_unavailable", "issuer_unavailable", "ownership_unavailable", "rate_limited", "overloaded"}


@dataclasses.dataclass
class Call:
    """One call, by what it was made of."""

    number: int
    request_id: str
    caller: str
    image: str
    member: str
    method: str
    version: str
    media_type: str
    encoding: str | None
    body_kind: str
    body: bytes
    is_chunked: bool
    ambiguity: str | None

    def __str__(self) -> str:
        return (f"#{self.number} {self.method} {self.version} {self.image}/{self.member} by {self.caller}, "
                f"{self.media_type}, {self.encoding}, {self.body_kind} {self.body[:60]!r}"
                f"{', chunked' if self.is_chunked else ''}{', ' + self.ambiguity if self.ambiguity else ''}")


def _weighted(source: random.Random, weights: dict[str, int]) -> str:
    return source.choices(list(weights), list(weights.values()))[0]


def _status(source: random.Random) -> str:
    return source.choice(["accepted", "rejected", "pending"])


def _known(source):
    word = _status(source)
    return source.choice([
        json.dumps({"status": word}), f'{{"status":"{word}"}}', f' \t\n{{ "status" : "{word}" }}\n',
        f'{{"\\u0073tatus": "{word}"}}', json.dumps({"status": word, "x": [1, -2.5, None, {"y": "ü"}], "id": "z"})])


def _unknown(source):
    return json.dumps({"status": source.choice(
        ["Accepted", "", "foo", " accepted", "accepted\n", "REJECTED", None, 1, True, ["accepted"], {"a": 1}])})


# kind: (weight, makes the body)
BODIES = {
    "known": (62, _known),
    "unknown": (10, _unknown),
    "missing": (2, lambda source: b""),
    "malformed": (5, lambda source: source.choice(
        ["{", '{"status": "accepted"', "{'status': 'accepted'}", '{"status": "accepted"} x', "accepted", " ",
         b'\xef\xbb\xbf{"status": "accepted"}', b'{"status": "\xff"}', '{"status": "a\nb"}'])),
    # Python's JSON has more than JSON
    "not-quite-json": (1, lambda source: source.choice(['{"status": "accepted", "x": NaN}',
                                                         '{"status": "accepted", "x": -Infinity}'])),
    "ambiguous": (2, lambda source: source.choice(
        ['{"status": "accepted", "status": "rejected"}', '{"x": 1, "x": 2, "status": "accepted"}',
         '{"status": "accepted", "x": ' + "[" * 30 + "]" * 30 + "}"])),
    "too-deep": (1, lambda source: '{"status": "accepted", "x": ' + "[" * 3000 + "]" * 3000 + "}"),
    "array": (2, lambda source: source.choice(["[]", '["accepted"]', '[{"status": "accepted"}]'])),
    "value": (2, lambda source: source.choice(['"accepted"', "null", "1", "true"])),
    "no-status": (3, lambda source: source.choice(["{}", '{"Status": "accepted"}', '{"member": {"status": "x"}}'])),
    "too-large": (2, lambda source: json.dumps({"status": _status(source), "x": "a" * 70_000})),
}


def generate(seed: int, count: int) -> list[Call]:
    """Returns so many calls, always the same ones for a seed."""
    source = random.Random(seed)
    weights = {kind: weight for kind, (weight, _) in BODIES.items()}
    calls = []
    for number in range(count):
        method, kind, encoding = _weighted(source, METHODS), _weighted(source, weights), None
        body = BODIES[kind][1](source)
        body = body.encode() if isinstance(body, str) else body
        if source.random() < 0.02:
            encoding = source.choice(["gzip", "identity"])
            if encoding == "gzip" and source.random() < 0.5:
                body = gzip.compress(body, mtime=0)
                kind = "malformed"
        if method in ("HEAD", "GET", "OPTIONS"):
            kind, body = "missing", b""
        calls.append(Call(
            number=number, request_id=f"req-{uuid.UUID(int=source.getrandbits(128), version=4)}",
            caller=_weighted(source, CALLERS), image=_weighted(source, IMAGES), member=_weighted(source, MEMBERS),
            method=method, version=_weighted(source, VERSIONS), media_type=_weighted(source, TYPES), encoding=encoding,
            body_kind=kind, body=body, is_chunked=bool(body) and len(body) < 65536 and source.random() < 0.03,
            ambiguity=source.choice(list(AMBIGUOUS)) if source.random() < 0.02 else None))
    return calls


def render(call: Call, world, host: str) -> tuple[bytes, bytes]:
    """Returns head and body of the call."""
    image = {"missing": world.ids["img.missing"], "no-uuid": "no-uuid"}.get(call.image)
    image = image or world.ids["img.shared" if call.image == "upper-case" else f"img.{call.image}"]
    image = image.upper() if call.image == "upper-case" else image
    member = {"nobody": "nobody", "long": "x" * 255}.get(call.member) or world.ids[f"p.{call.member}"]
    slash = "//" if call.ambiguity == "slashes" else "/"
    target = f"/{call.version}/images{slash}{image}/members/{member}"
    target += "?_method=PUT" if call.ambiguity == "override" else ""
    headers = [("Host", host), ("X-Openstack-Request-Id", call.request_id), *_tokens(call, world)]
    if call.ambiguity == "form":
        headers.append(("Content-Type", "application/x-www-form-urlencoded"))
    elif call.media_type != "none":
        headers += [("Content-Type", "application/json")] * 2 if call.media_type == "twice" else [
            ("Content-Type", call.media_type)]
    if call.ambiguity == "underscore":
        headers.append(("X_Auth_Token", "x"))
    if call.ambiguity == "vendor":
        headers.append(("Accept", "application/vnd.openstack.images-v2.7"))
    if call.encoding:
        headers.append(("Content-Encoding", call.encoding))
    body = call.body
    if call.is_chunked:
        headers.append(("Transfer-Encoding", "chunked"))
        half = len(body) // 2
        parts = [part for part in (body[:half], body[half:]) if part]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    elif body or call.method in ("PUT", "POST", "PATCH"):
        headers.append(("Content-Length", str(len(body))))
    lines = [f"{call.method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode(), body


def _tokens(call: Call, world) -> list[tuple[str, str]]:
    beta = world.tokens["beta"]
    odd = {
        "none": [], "empty": [("X-Auth-Token", "")], "two": [("X-Auth-Token", beta)] * 2,
        "alias": [("X-Storage-Token", beta)], "blank-inside": [("X-Auth-Token", "a b")],
        "too-long": [("X-Auth-Token", "a" * 9000)], "garbage": [("X-Auth-Token", "garbage")],
    }
    return odd[call.caller] if call.caller in odd else [("X-Auth-Token", world.tokens[call.caller])]


class Contract:
    """What the gate must decide, by its documents."""

    def __init__(self, world, stack: dict, profile: str):
        self.world, self.stack, self.profile = world, stack, profile
        self.is_new = stack["new_defaults"]

    def verdicts(self, call: Call) -> list[tuple[str, str]]:
        """Returns rule and verdict, `none` for no rule; nothing for a call that the rules are not about.

        There are two where it hangs on what the gate remembers of the image: it can not look with every token.
        """
        if call.ambiguity or call.method in ("GET", "OPTIONS"):
            return []
        rule = self._token(call) or self._form(call)
        decided = [rule] if rule else [self._decide(call)]
        if not rule and call.caller in MAY_NOT_LOOK and call.image not in IMPOSSIBLE:
            decided.append(self._unseen(call))
        return [("none", one) if one in ("permitted", "asked") else (one, "would_refuse") for one in decided]

    def _unseen(self, call: Call) -> str:
        return "asked" if call.body_kind == "known" or self.profile == "glance" else "status_unknown"

    def _token(self, call: Call) -> str | None:
        rule = {"none": "token_missing", "empty": "token_missing", "two": "token_ambiguous", "alias": "token_ambiguous",
                "blank-inside": "token_malformed", "too-long": "token_malformed"}.get(call.caller)
        if rule is None and call.caller in UNKNOWN:
            rule = "token_invalid"
        if rule is None and call.caller in ("beta-appcred-get", "beta-appcred-othersvc"):
            rule = "access_rule_forbids"
        if rule is None and call.caller in MAY_NOT_LOOK and call.method != "PUT":
            rule = "access_rule_forbids"
        return rule

    def _form(self, call: Call) -> str | None:
        if call.method != "PUT":
            return "method_not_allowed"
        if self.profile == "documented" and call.encoding:
            return "content_encoding_unsupported"
        if self.profile == "documented" and call.media_type != "none" and not (
                call.media_type.split(";")[0].strip().lower() == "application/json"):
            return "media_type_unsupported"
        return {"too-large": "body_too_large", "missing": "body_missing", "malformed": "body_malformed",
                "not-quite-json": "body_malformed", "ambiguous": "body_ambiguous", "too-deep": "body_ambiguous",
                "array": "body_not_object", "value": "body_not_container", "no-status": "status_missing"
                }.get(call.body_kind)

    def _caller(self, call: Call) -> tuple[str | None, set[str]]:
        """Returns the caller's project, if it has one, and roles."""
        if call.caller in UNSCOPED:
            return None, set()
        account = self.stack["users"]["beta" if call.caller in SAME_AS_BETA else call.caller]
        return account["project"], IMPLIED.get(account["role"], {account["role"]})

    def _decide(self, call: Call) -> str:
        (project, roles), is_known = self._caller(call), call.body_kind == "known"
        if project is None or "admin" in roles:
            return self._unseen(call)
        if call.image in IMPOSSIBLE:
            return "image_not_found"
        owner, visibility, members = self._image(call.image)
        is_seen = owner is not None and (project == owner or visibility in ("community", "public") or (
            visibility == "shared" and project in members)) and ("reader" in roles or not self.is_new)
        decide = self._documented if self.profile == "documented" else self._glance
        return decide(call, project, roles, is_seen, owner, visibility, is_known)

    def _image(self, name: str) -> tuple[str | None, str, set[str]]:
        """Returns owner, visibility and members of the image; no owner for one that is gone."""
        if name not in MADE or name == "deleted":
            return None, "", set()
        attributes, members, later = MADE[name]
        visibility = later or attributes.get("visibility", "shared")
        return ("admin" if name == "adminowned" else "alpha"), visibility, set(members)

    def _documented(self, call, project, roles, is_seen, owner, visibility, is_known) -> str:
        if not is_seen:
            return "image_not_found"
        if project == owner:
            return "owner_forbidden"
        if project != call.member:
            return "not_the_member"
        if not is_known:
            return "status_unknown"
        return "permitted" if visibility == "shared" and "member" in roles else "asked"

    def _glance(self, call, project, roles, is_seen, owner, visibility, is_known) -> str:
        if not is_seen:
            return "asked" if self.is_new and "reader" not in roles else "image_not_found"
        if visibility != "shared":
            return "image_not_shared"
        if project == owner:
            return "asked" if self.is_new else "owner_forbidden"
        if self.is_new and "reader" not in roles:
            return "asked"
        if project != call.member:
            return "member_not_found"
        if self.is_new and "member" not in roles:
            return "role_forbidden"
        return "permitted" if is_known else "status_unknown"


def agreement(rule: str, verdict: str, status: int, would_answer: dict[str, int]) -> str:
    """Returns what the meter must say to Glance's status."""
    if verdict == "asked" or status >= 500 or status in (408, 429) or rule in OUTAGES:
        return "unknown"
    if verdict == "permitted":
        return "yes" if 200 <= status < 300 else "no"
    return "yes" if would_answer[rule] == status else "no"
