"""Says in what two answers differ, beyond what must differ in any two answers."""
import re

from wire import Answer

IGNORED = {"connection", "date", "keep-alive", "transfer-encoding", "content-length", "x-openstack-request-id"}
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def body(answer: Answer, host: str) -> bytes:
    """Returns the body with the host and moments in time replaced."""
    return MOMENT.sub(b"{moment}", answer.body.replace(host.encode(), b"{host}"))


def headers(answer: Answer, host: str) -> dict[str, list[str]]:
    """Returns the headers that are compared, names in lower case, the host replaced."""
    kept: dict[str, list[str]] = {}
    for name, value in answer.headers:
        if name.lower() not in IGNORED:
            kept.setdefault(name.lower(), []).append(value.replace(host, "{host}"))
    return kept


def differences(glance: Answer, gate: Answer, glance_host: str, gate_host: str) -> list[str]:
    """Returns a line for each thing in which the gate's answer differs from Glance's."""
    if glance.status != gate.status:
        return [f"status {glance.status} -> {gate.status}"]
    found = []
    ours, theirs = headers(gate, gate_host), headers(glance, glance_host)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            found.append(f"header {name}: {theirs.get(name)} -> {ours.get(name)}")
    if glance.framing != gate.framing:
        found.append(f"framing: {glance.framing} -> {gate.framing}")
    before, after = body(glance, glance_host), body(gate, gate_host)
    if before != after:
        found.append(f"body: {before[:600]!r}\n    -> {after[:600]!r}")
    return found


def request_id_faults(sent: bytes, gate: Answer) -> list[str]:
    """Returns what is wrong with the request id of the gate's answer.

    Every answer carries exactly one, a well-formed id of the client is kept, and
    anything else is replaced.
    """
    values = gate.values("x-openstack-request-id")
    if len(values) != 1 or not REQUEST_ID.fullmatch(values[0]):
        return [f"x-openstack-request-id is {values}, not one req-<uuid>"]
    asked = re.search(rb"\r\nX-Openstack-Request-Id: (.*?)\r\n", sent, re.I)
    wanted = asked.group(1).decode("latin-1") if asked else ""
    if REQUEST_ID.fullmatch(wanted) and values[0] != wanted:
        return [f"x-openstack-request-id {wanted} became {values[0]}"]
    return []
