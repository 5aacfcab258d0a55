"""What Glance and Keystone tell on OpenStack's own bus makes every gate forget, within a second.

The messages are oslo.messaging's own, sent by its messagingv2 driver as the services send them.
"""
import logging
import time

import oslo_messaging
import pytest
from oslo_config import cfg

import standins
from gates import SOON, notifications_section, running, until

MEMBER, OWNER = standins.MEMBER, standins.OWNER
logging.getLogger("oslo.messaging").setLevel(logging.CRITICAL)


class Service:
    """A service that sends notifications, as Glance and Keystone do."""

    def __init__(self, rabbit, exchange: str):
        conf = cfg.ConfigOpts()
        conf([], project=exchange)
        oslo_messaging.set_transport_defaults(exchange)
        transport = oslo_messaging.get_notification_transport(conf, url=rabbit.url)
        self.notifier = oslo_messaging.Notifier(transport, f"{exchange}.host", driver="messagingv2",
                                                topics=["notifications"], retry=40)

    def tell(self, event: str, payload: dict) -> None:
        self.notifier.info({}, event, payload)


def image_payload(image: str, owner: str) -> dict:
    """Returns what glance.notifier.format_image_notification makes."""
    return {"id": image, "name": "n", "status": "active", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "min_disk": 0, "min_ram": 0, "protected": False, "checksum": None,
            "owner": owner, "disk_format": "raw", "container_format": "bare", "size": 1, "virtual_size": None,
            "is_public": False, "visibility": "shared", "properties": {}, "tags": [], "deleted": False,
            "deleted_at": None}


@pytest.fixture
def services(rabbit):
    """Both services; what they send first makes their exchanges."""
    glance, keystone = Service(rabbit, "glance"), Service(rabbit, "keystone")
    glance.tell("image.send", {})
    keystone.tell("identity.authenticate", {})
    return glance, keystone


@pytest.fixture
def pair(world, rabbit, services, tmp_path):
    with running(world, tmp_path, notifications_section(rabbit), notifications_section(rabbit)) as gates:
        for gate in gates:
            until("the link stands", lambda gate=gate: gate.stands("notifications"))
            until("both exchanges are read", lambda gate=gate: reads(gate) == 2)
        yield gates


def reads(gate) -> int:
    return sum(line["message"] == "notifications are read" for line in gate.lines())


def test_an_image_that_changes_elsewhere_is_asked_about_again(world, pair, services):
    member = world.state.token("u1", MEMBER)
    for event, payload in (("image.update", image_payload), ("image.member.create", None), ("image.delete", image_payload)):
        image = world.state.image()
        for gate in pair:
            assert gate.accept(image, member) == gate.accept(image, member) == 200
        assert world.state.count(f"GET /v2/images/{image}") == 2
        world.state.owners[image] = MEMBER
        services[0].tell(event, payload(image, MEMBER) if payload else
                         {"image_id": image, "member_id": "m", "status": "pending", "deleted": False})
        for gate in pair:
            until(f"it knows by {event}", lambda gate=gate: gate.accept(image, member) == 403, SOON)
    assert pair[0].metric('glance_gate_fleet_messages_total{link="notifications",kind="image",outcome="applied"}') == 3


@pytest.mark.parametrize("event, payload", [
    ("identity.user.updated", {"resource_info": "u1", "request_id": "req-1"}),
    ("identity.user.deleted", {"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "outcome": "success",
                               "action": "deleted.user", "resource_info": "u1", "target": {"id": "u1"}}),
    ("identity.project.disabled", {"resource_info": MEMBER}),
    ("identity.role_assignment.deleted", {"outcome": "success", "role": "r", "user": "u1", "project": MEMBER}),
    ("identity.role.deleted", {"resource_info": "r1"}),
    ("identity.OS-TRUST:trust.deleted", {"resource_info": "t1"}),
])
def test_what_ends_tokens_makes_them_be_asked_about_again(world, pair, services, event, payload):
    token = world.state.token("u1", MEMBER)
    image = world.state.image()
    for gate in pair:
        assert gate.accept(image, token) == 200
    del world.state.tokens[token]
    for gate in pair:
        assert gate.accept(image, token) == 200, "it is remembered"
    services[1].tell(event, payload)
    for gate in pair:
        until(f"it is revoked by {event}", lambda gate=gate: gate.accept(image, token) == 401, SOON)


def test_what_concerns_others_leaves_everything_remembered(world, pair, services):
    token, image = world.state.token("u1", MEMBER), world.state.image()
    gate = pair[0]
    assert gate.accept(image, token) == 200
    services[1].tell("identity.user.updated", {"resource_info": "u2"})
    services[1].tell("identity.authenticate", {"outcome": "success"})
    services[1].tell("identity.project.created", {"resource_info": "p"})
    services[0].tell("image.update", image_payload(world.state.image(), OWNER))
    services[0].tell("image.send", {"image_id": image, "bytes_sent": 1})
    counted = 'glance_gate_fleet_messages_total{link="notifications",kind="%s",outcome="%s"}'
    until("all are read", lambda: gate.metric(counted % ("identity", "ignored")) >= 2
          and gate.metric(counted % ("image", "ignored")) >= 1)
    assert gate.accept(image, token) == 200
    assert (world.state.count(token), world.state.count(f"GET /v2/images/{image}")) == (1, 1)


def test_each_gate_has_a_queue_of_its_own_that_goes_with_it(world, rabbit, pair, services):
    def queues():
        listed = rabbit.call("list_queues", "name", "arguments")
        return [line for line in listed.splitlines() if line.startswith("glance-gate.")]
    assert len(queues()) == 2 and all("x-expires" in line and "x-max-length" in line for line in queues())
    pair[0].stop()
    assert len(queues()) == 1, "a gate that ends takes its queue away"


def test_without_the_bus_gates_go_on_and_forget_when_it_is_back(world, rabbit, pair):
    token, image = world.state.token("u1", MEMBER), world.state.image()
    other = world.state.image()
    for gate in pair:
        assert gate.accept(image, token) == gate.accept(other, token) == 200
    rabbit.stop()
    try:
        for gate in pair:
            until("the loss is noticed", lambda gate=gate: not gate.stands("notifications"), 5)
            assert gate.ask("/readyz").endswith("\nready\n"), "no gate is unready for it"
        # nobody can tell of this
        world.state.owners[image] = MEMBER
        assert all(gate.accept(image, token) == 200 for gate in pair)
    finally:
        rabbit.start()
    for gate in pair:
        until("the link is back", lambda gate=gate: gate.stands("notifications"), 6)
        until("it asks anew", lambda gate=gate: gate.accept(image, token) == 403, SOON)
        until("it is told", lambda gate=gate: gate.told("connected again", "notifications") == 1)
        assert gate.told("not connected", "notifications") == 1, "once"
    # the services' exchanges went with the server: their first notification makes them anew
    glance = Service(rabbit, "glance")
    for gate in pair:
        assert gate.accept(other, token) == 200
    world.state.owners[other] = MEMBER
    glance.tell("image.update", image_payload(other, MEMBER))
    for gate in pair:
        until("the first notification counts", lambda gate=gate: gate.accept(other, token) == 403, SOON)
        until("the exchange is read", lambda gate=gate: reads(gate) >= 3)
    third = world.state.image()
    for gate in pair:
        assert gate.accept(third, token) == 200
    world.state.owners[third] = MEMBER
    glance.tell("image.update", image_payload(third, MEMBER))
    for gate in pair:
        until("and so do the next", lambda gate=gate: gate.accept(third, token) == 403, SOON)


def test_a_bus_that_hangs_is_left_and_found_again(world, rabbit, pair):
    token, image = world.state.token("u1", MEMBER), world.state.image()
    for gate in pair:
        assert gate.accept(image, token) == 200
    rabbit.freeze()
    try:
        for gate in pair:
            until("the loss is noticed", lambda gate=gate: not gate.stands("notifications"), 8)
        world.state.owners[image] = MEMBER
        time.sleep(0.2)
        assert all(gate.accept(image, token) == 200 for gate in pair)
    finally:
        rabbit.thaw()
    for gate in pair:
        until("the link is back", lambda gate=gate: gate.stands("notifications"), 10)
        until("it asks anew", lambda gate=gate: gate.accept(image, token) == 403, SOON)
