"""What one gate sees, the other knows within a second: over Redis, also when that is stopped, frozen and started."""
import concurrent.futures

import pytest

import standins
from gates import SOON, redis_section, running, until

MEMBER, OWNER = standins.MEMBER, standins.OWNER


@pytest.fixture
def pair(world, redis, tmp_path):
    with running(world, tmp_path, redis_section(redis), redis_section(redis)) as gates:
        for gate in gates:
            until("the link stands", lambda gate=gate: gate.stands("other gates"))
            until("both know of each other", lambda gate=gate: gate.metric("glance_gate_fleet_gates ") == 1)
        yield gates


def remembered(gate, world, token: str) -> str:
    """Returns an image whose owner the gate remembers."""
    image = world.state.image()
    for _ in range(3):
        assert gate.accept(image, token) == 200
    assert world.state.count(f"GET /v2/images/{image}") == 1, "it is remembered"
    return image


def change(world, image: str, gate, token: str) -> None:
    """Lets the member own the image from now on, behind the gates' backs, and something pass by one of them."""
    world.state.owners[image] = MEMBER
    assert gate.patch(image, token) == 200


def test_a_change_that_passes_one_gate_is_known_to_the_other(world, pair):
    first, second = pair
    member, owner = world.state.token("u1", MEMBER), world.state.token("u2", OWNER)
    for gate, other in ((first, second), (second, first)):
        image = remembered(other, world, member)
        change(world, image, gate, owner)
        until("the other refuses the new owner", lambda: other.accept(image, member) == 403, SOON)
        assert other.metric('glance_gate_fleet_forgotten_total{link="redis",what="image"}') >= 1
    assert first.metric('glance_gate_fleet_messages_total{link="redis",kind="letter",outcome="gap"}') == 0


def test_a_token_found_revoked_by_one_is_revoked_at_the_other(world, pair):
    first, second = pair
    token, bystander = world.state.token("u1", MEMBER), world.state.token("u2", MEMBER)
    image = world.state.image()
    assert second.accept(image, token) == 200 and second.accept(image, bystander) == 200
    del world.state.tokens[token]
    assert second.accept(image, token) == 200, "it is remembered there"
    assert first.accept(image, token) == 401, "and was never known here"
    until("the other asks, too", lambda: second.accept(image, token) == 401, SOON)
    assert second.accept(image, bystander) == 200 and world.state.count(bystander) == 1, "others are left alone"


def test_an_answer_that_was_asked_for_before_the_news_is_not_remembered(world, pair):
    first, second = pair
    member, owner = world.state.token("u1", MEMBER), world.state.token("u2", OWNER)
    image = world.state.image()
    path = f"/v2/images/{image}"
    release = world.state.hold(path)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asking = pool.submit(second.accept, image, member)
        until("the owner is being asked for", lambda: world.state.count(f"GET {path}") == 1)
        change(world, image, first, owner)
        until("the other has heard", lambda: second.metric('glance_gate_fleet_forgotten_total{link="redis",what="image"}') >= 1)
        release.set()
        # Glance's own answer was the old one; the gate asks again before it believes it
        assert asking.result(10) == 403
    assert second.accept(image, member) == 403 and world.state.count(f"GET {path}") == 2

    token, image = world.state.token("u3", MEMBER), world.state.image()
    release = world.state.hold(token)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asking = pool.submit(second.accept, image, token)
        until("Keystone is being asked", lambda: world.state.count(token) == 1)
        del world.state.tokens[token]
        assert first.accept(image, token) == 401
        until("the other has heard", lambda: second.metric('glance_gate_fleet_forgotten_total{link="redis",what="token"}') >= 1)
        release.set()
        assert asking.result(10) == 401
    assert second.accept(image, token) == 401


def test_gates_with_another_prefix_are_another_fleet(world, redis, tmp_path):
    with running(world, tmp_path, redis_section(redis), redis_section(redis, 'prefix = "elsewhere"')) as (first, second):
        for gate in (first, second):
            until("the link stands", lambda gate=gate: gate.stands("other gates"))
        member, owner = world.state.token("u1", MEMBER), world.state.token("u2", OWNER)
        image = remembered(second, world, member)
        change(world, image, first, owner)
        sent = 'glance_gate_fleet_messages_total{link="redis",kind="news",outcome="sent"}'
        until("the news is sent", lambda: first.metric(sent) >= 1)
        assert second.accept(image, member) == 200 and second.metric("glance_gate_fleet_gates ") == 0


@pytest.mark.parametrize("loss", ["stopped", "frozen"])
def test_without_redis_each_gate_goes_on_alone_and_forgets_when_it_is_back(world, redis, pair, loss):
    first, second = pair
    member, owner = world.state.token("u1", MEMBER), world.state.token("u2", OWNER)
    image = remembered(second, world, member)
    redis.stop() if loss == "stopped" else redis.freeze()
    try:
        for gate in pair:
            until("the loss is noticed", lambda gate=gate: not gate.stands("other gates"), 4)
            assert gate.ask("/readyz").endswith("\nready\n"), "no gate is unready for it"
        change(world, image, first, owner)
        assert second.accept(image, member) == 200, "what it could not be told it does not know"
    finally:
        redis.start() if loss == "stopped" else redis.thaw()
    until("the other knows", lambda: second.accept(image, member) == 403, 4)
    for gate in pair:
        until("the link is back", lambda gate=gate: gate.stands("other gates"), 4)
        until("it is told", lambda gate=gate: gate.told("connected again", "redis") == 1)
        assert gate.told("not connected", "redis") == 1, "once"
    image = remembered(second, world, member)
    change(world, image, first, owner)
    until("news are as fast as before", lambda: second.accept(image, member) == 403, SOON)


def test_the_last_news_are_sent_before_a_gate_ends(world, pair):
    first, second = pair
    member, owner = world.state.token("u1", MEMBER), world.state.token("u2", OWNER)
    images = [remembered(second, world, member) for _ in range(20)]
    for image in images:
        change(world, image, first, owner)
    first.stop()
    for image in images:
        until("the other knows", lambda image=image: second.accept(image, member) == 403, SOON)


def test_a_reload_that_does_not_concern_it_leaves_the_link_alone(world, redis, pair):
    first, second = pair
    member, owner = world.state.token("u1", MEMBER), world.state.token("u2", OWNER)
    second.write(redis_section(redis) + "[member_update]\ntimeout = \"7s\"\n")
    second.process.send_signal(1)
    until("it is reloaded", lambda: second.metric("glance_gate_config_generation ") == 2)
    image = remembered(second, world, member)
    change(world, image, first, owner)
    until("the other knows", lambda: second.accept(image, member) == 403, SOON)
    assert sum(line.get("link") == "redis" for line in second.lines()) == 1, "connected once"
    # turned off and on again
    second.write("")
    second.process.send_signal(1)
    until("it is alone", lambda: first.metric("glance_gate_fleet_gates ") == 0)
    assert "glance_gate_fleet_connected{" not in second.ask("/metrics")
    second.write(redis_section(redis))
    second.process.send_signal(1)
    until("it is back", lambda: second.metric("glance_gate_fleet_connected{") == 1)
    image = remembered(second, world, member)
    change(world, image, first, owner)
    until("the other knows", lambda: second.accept(image, member) == 403, SOON)
