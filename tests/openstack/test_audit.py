"""Audit events before the real Keystone and Glance: valid to pycadf, the same as keystonemiddleware's, joined with
Keystone by audit ids, and on OpenStack's message bus as oslo.messaging reads it."""
import json
import pathlib
import sys
import threading
import time
import warnings

import pytest
import requests
import webob
from keystonemiddleware import audit as middleware
from oslo_config import cfg
import oslo_messaging
from pycadf import attachment, cadftype, credential, endpoint, event, host, reason, reporterstep, resource, timestamp

import gate as gates

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bus"))
import servers  # noqa: E402

SHIPPED_MAP = pathlib.Path(sys.prefix) / "etc/pycadf/glance_api_audit_map.conf"
# method, path, caller, body: what is permitted, what Glance refuses, what the gate refuses, and what passes unread
CALLS = [
    ("PUT", "/v2/images/{img.shared}/members/{p.beta}", "beta", {"status": "accepted"}),
    ("PUT", "/v2/images/{img.shared}/members/{p.beta}", "beta", {"status": "perhaps"}),
    ("PUT", "/v2/images/{img.shared}/members/{p.beta}", "alpha", {"status": "accepted"}),
    ("PUT", "/v2/images/{img.shared}/members/{p.beta}", "gamma", {"status": "accepted"}),
    ("PUT", "/v2/images/{img.missing}/members/{p.beta}", "beta", {"status": "accepted"}),
    ("PUT", "/v2/images/{img.private}/members/{p.beta}", "beta", {"status": "accepted"}),
    ("GET", "/v2/images/{img.shared}/members", "beta", None),
    ("GET", "/v2/images/{img.shared}/members/{p.beta}", "beta", None),
    ("DELETE", "/v2/images/{img.shared}/members/{p.beta}", "beta", None),
    ("GET", "/v2/images", "beta", None),
    ("GET", "/v2/images?limit=1", "beta", None),
    ("GET", "/v2/images/{img.shared}", "beta", None),
    ("GET", "/v2/images/{img.queued}/file", "alpha", None),
    ("HEAD", "/v2/images/{img.queued}/file", "alpha", None),
    ("PUT", "/v2/images/{img.shared}/tags/audited", "beta", None),
    ("POST", "/v2/images/{img.shared}/actions/deactivate", "beta", None),
    ("POST", "/v2/images", "beta", {"id": "no-uuid"}),
    ("GET", "/v2/schemas/image", "beta", None),
    ("GET", "/v2/info/stores", "beta", None),
]


class Audited:
    """A gate that writes its events into a file."""

    def __init__(self, gate, file):
        self.gate, self.file, self.seen = gate, file, 0

    def events(self, count: int) -> list[dict]:
        """Waits for so many events that nobody has asked for yet."""
        deadline = time.monotonic() + 30
        while True:
            lines = self.file.read_text().splitlines() if self.file.exists() else []
            if len(lines) >= self.seen + count:
                found = [json.loads(line) for line in lines[self.seen:]]
                assert len(found) == count, found
                self.seen += count
                return found
            assert time.monotonic() < deadline, (lines, self.seen, count)
            time.sleep(0.05)


@pytest.fixture(scope="module", autouse=True)
def own_gates(against_itself):
    if gates.OVERRIDE:
        pytest.skip("these tests start gates of their own")


@pytest.fixture(scope="module", params=["built-in", "shipped"])
def audited(request, own_gates, stack, tmp_path_factory):
    """A gate that audits everything, by its own map and by the one that pycadf ships."""
    folder = tmp_path_factory.mktemp("audited")
    assert SHIPPED_MAP.exists()
    used = SHIPPED_MAP if request.param == "shipped" else ""
    section = f"""[audit]
events = "all"
file = "{folder}/audit.jsonl"
map_file = "{used}"
endpoint = "{stack["glance"]}"
observer = "gate-under-test"
"""
    with gates.running(stack, folder, rules=section) as started:
        yield Audited(started, folder / "audit.jsonl")
        gates.assert_keeps_secrets((folder / "audit.jsonl").read_text(), "the audit events")


def send(url, world, method, path, caller, body):
    """Sends one of the calls there, with the members as they are meant to be."""
    world.reset("shared")
    for name, value in world.ids.items():
        path = path.replace("{" + name + "}", value)
    headers = {"X-Auth-Token": world.tokens[caller], "User-Agent": "an auditor"}
    answer = requests.request(method, url + path, headers=headers, json=body, timeout=60, allow_redirects=False)
    return path, answer


def rebuilt(told: dict) -> event.Event:
    """Builds the event again with pycadf's own types, each of which checks what it is given."""
    def build(kind, values, **arguments):
        made = kind(**arguments)
        for name, value in values.items():
            setattr(made, name, value)
        assert made.is_valid(), (kind, values)
        return made

    def thing(values: dict) -> resource.Resource:
        made = build(resource.Resource, {}, id=values["id"], typeURI=values["typeURI"], name=values.get("name"))
        if "host" in values:
            made.host = build(host.Host, {}, **values["host"])
        if "credential" in values:
            assert values["credential"]["token"] == "***"
            made.credential = build(credential.Credential, {"token": "***"}, token="")
        for address in values.get("addresses", []):
            made.add_address(build(endpoint.Endpoint, {}, **address))
        return made

    made = event.Event(
        eventType=told["eventType"], id=told["id"], eventTime=told["eventTime"], action=told["action"],
        outcome=told["outcome"], initiator=thing(told["initiator"]), target=thing(told["target"]),
        observer=thing(told["observer"]), reason=build(reason.Reason, {}, **told["reason"]))
    for tag in told["tags"]:
        made.add_tag(tag)
    for values in told["attachments"]:
        made.add_attachment(build(attachment.Attachment, {}, **values))
    for step in told["reporterchain"]:
        made.add_reporterstep(reporterstep.Reporterstep(
            role=step["role"], reporter=thing(step["reporter"]), reporterTime=step["reporterTime"]))
    return made


class Recorder:
    """What the middleware notifies instead of a log or the bus."""

    def __init__(self):
        self.payloads = []

    def notify(self, _context, event_type, payload):
        if event_type == "audit.http.response":
            self.payloads.append(payload)


def middleware_before(url: str) -> tuple[middleware.AuditMiddleware, Recorder]:
    """Returns keystonemiddleware's audit filter before the real Glance, and what it tells."""
    @webob.dec.wsgify
    def glance(request):
        sent = {name: value for name, value in request.headers.items() if not name.startswith("X-Service-Catalog")}
        answer = requests.request(request.method, url + request.path_qs, headers=sent, data=request.body or None,
                                  timeout=60, allow_redirects=False)
        return webob.Response(status=answer.status_code, body=answer.content)

    found = middleware.AuditMiddleware(glance, audit_map_file=str(SHIPPED_MAP), use_oslo_messaging="false")
    found._notifier = Recorder()
    return found, found._notifier


def by_middleware(stack, world, method, path, caller, body) -> dict:
    """Returns what keystonemiddleware tells of the very same call."""
    world.reset("shared")
    found, recorder = middleware_before(stack["glance"])
    content = {} if body is None else {"body": json.dumps(body).encode(), "content_type": "application/json"}
    request = webob.Request.blank(path, base_url=stack["glance"], method=method, **content)
    request.headers["X-Auth-Token"] = world.tokens[caller]
    request.headers["User-Agent"] = "an auditor"
    urls = {kind: stack["glance"] for kind in ("adminURL", "internalURL", "publicURL")}
    request.environ["HTTP_X_SERVICE_CATALOG"] = json.dumps(
        [{"type": "image", "name": "glance", "endpoints": [urls | {"id": "an-id"}]}])
    request.get_response(found)
    assert len(recorder.payloads) == 1
    return recorder.payloads[0]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]}-{call[1]}-{call[2]}")
def test_events_are_valid_to_pycadf_and_say_what_keystonemiddleware_says(audited, stack, world, call):
    path, answer = send(audited.gate.url, world, *call)
    told = audited.events(1)[0]
    with warnings.catch_warnings():
        # ids that are no UUIDs are allowed: what is not known, and Keystone's for users of other sources
        warnings.simplefilter("ignore")
        made = rebuilt(told)
        assert made.is_valid()
    # all that was told is in what pycadf writes, but for members of the initiator that OpenStack adds
    written = json.loads(json.dumps(made.as_dict()))
    for name in ("project_id", "domain_id", "request_id"):
        told["initiator"].pop(name, None)
    status = told["initiator"]["credential"].pop("identity_status")
    request_path = told.pop("requestPath")
    assert written == told
    assert made.typeURI == event.TYPE_URI_EVENT and cadftype.is_valid_eventType(made.eventType)
    assert timestamp.is_valid(made.eventTime)
    time.strptime(made.eventTime.partition(".")[0], "%Y-%m-%dT%H:%M:%S")
    assert timestamp.TIME_FORMAT.endswith(".%f%z") and made.eventTime.endswith("+0000")
    assert told["reason"]["reasonCode"] == str(answer.status_code)

    known = by_middleware(stack, world, call[0], path, *call[2:])
    for member in ("action", "outcome", "eventType", "typeURI"):
        assert told[member] == known[member], member
    for member in ("typeURI", "name"):
        assert told["target"][member] == known["target"][member], member
    assert told["reason"]["reasonType"] == known["reason"]["reasonType"]
    assert told["reason"]["reasonCode"] == known["reason"]["reasonCode"]
    assert told["initiator"]["typeURI"] == known["initiator"]["typeURI"]
    assert told["initiator"]["host"]["agent"] == known["initiator"]["host"]["agent"]
    # without the query, which may hold what is no business of auditors
    assert request_path == known["requestPath"].partition("?")[0]
    assert {address["name"] for address in told["target"]["addresses"]} <= \
        {address["name"] for address in known["target"]["addresses"]}
    if "/members/" in path and call[0] == "PUT":
        assert status == "Confirmed"
        assert told["initiator"]["id"] == world.stack["users"][call[2]]["id"]


def test_the_audit_ids_are_those_of_keystone(audited, stack, world):
    for caller in ("beta", "alpha", "beta-appcred"):
        send(audited.gate.url, world, "PUT", CALLS[0][1], caller, {"status": "accepted"})
        told = audited.events(1)[0]
        token = world.tokens[caller]
        answer = requests.get(stack["keystone"] + "/v3/auth/tokens", timeout=60,
                              headers={"X-Auth-Token": world.tokens["admin"], "X-Subject-Token": token})
        known = answer.json()["token"]
        attached = {each["name"]: each["content"] for each in told["attachments"]}
        assert attached["keystone_token"]["audit_ids"] == known["audit_ids"] != []
        assert told["initiator"]["id"] == known["user"]["id"]
        assert told["initiator"]["project_id"] == known["project"]["id"]


def test_what_the_gate_refuses_never_reaches_the_middleware_and_is_told_all_the_same(audited, stack, world):
    path = f"/v2/images/{world.ids['img.shared']}/members/{world.ids['p.beta']}"
    for token, why in ((None, "token_missing"), ("no-token", "token_invalid")):
        headers = {"X-Auth-Token": token} if token else {}
        answer = requests.put(audited.gate.url + path, headers=headers, json={"status": "accepted"}, timeout=60)
        told = audited.events(1)[0]
        assert (answer.status_code, told["reason"]["policyId"], told["outcome"]) == (401, why, "failure")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert rebuilt(told).is_valid()


class Heard:
    """What a consumer of OpenStack's notifications, such as Ceilometer, hears."""

    filter_rule = oslo_messaging.NotificationFilter(event_type=r"^audit\.http\.response$")

    def __init__(self):
        self.events, self.changed = [], threading.Condition()

    def info(self, _context, publisher_id, event_type, payload, metadata):
        with self.changed:
            self.events.append((publisher_id, event_type, payload, metadata))
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.events) >= count, 60), (len(self.events), count)


@pytest.fixture
def rabbit(tmp_path):
    made = servers.Rabbit(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.end()


def test_oslo_messaging_hears_the_events_also_after_the_server_was_away(own_gates, stack, world, rabbit, tmp_path):
    section = f"""[audit]
events = "guarded"
amqp = "amqp://127.0.0.1:{rabbit.port}/"
amqp_username = "guest"
amqp_password = "guest"
amqp_durable = true
"""
    conf = cfg.ConfigOpts()
    transport = oslo_messaging.get_notification_transport(conf, url=rabbit.url)
    conf.set_override("amqp_durable_queues", True, group="oslo_messaging_rabbit")
    with gates.running(stack, tmp_path, rules=section) as gate:
        def ask(caller):
            send(gate.url, world, "PUT", CALLS[0][1], caller, {"status": "accepted"})

        def counted(outcome, count):
            metric = f'glance_gate_audit_events_total{{sink="amqp",outcome="{outcome}"}} {count}\n'
            deadline = time.monotonic() + 60
            while metric not in gate.ask("/metrics"):
                assert time.monotonic() < deadline, metric
                time.sleep(0.1)

        # nobody listens yet: the gate makes the exchange and the queue, and nothing is lost
        ask("beta")
        counted("written", 1)
        heard = Heard()
        target = oslo_messaging.Target(topic="notifications", exchange="glance")
        listener = oslo_messaging.get_notification_listener(transport, [target], [heard], executor="threading")
        listener.start()
        try:
            heard.wait_for(1)
            publisher, kind, payload, metadata = heard.events[0]
            assert (kind, payload["outcome"]) == ("audit.http.response", "success")
            assert publisher.startswith("glance-gate.")
            assert set(metadata) == {"message_id", "timestamp"}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert rebuilt(payload).is_valid()
            rabbit.stop()
            for caller in ("alpha", "gamma", "beta"):
                ask(caller)
            counted("written", 1)
            rabbit.start()
            heard.wait_for(4)
            counted("written", 4)
            counted("lost", 0)
            told = [payload["initiator"]["project_id"] for _, _, payload, _ in heard.events]
            assert told == [world.ids[f"p.{name}"] for name in ("beta", "alpha", "gamma", "beta")]
        finally:
            listener.stop()
            listener.wait()
