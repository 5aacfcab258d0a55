"""Who the gates are at the servers: users with few rights, as docs/FLEET.md writes them, over TLS."""
import re
import pathlib

import pytest

import servers
import standins
from gates import SOON, running, until
from test_notifications import Service, image_payload, reads

MEMBER, OWNER = standins.MEMBER, standins.OWNER
GUIDE = (pathlib.Path(__file__).parents[2] / "docs/FLEET.md").read_text()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return servers.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def redis(tmp_path_factory, authority):
    server = servers.Redis(tmp_path_factory.mktemp("redis")).with_tls(authority).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory, authority):
    server = servers.Rabbit(tmp_path_factory.mktemp("rabbit")).with_tls(authority).start()
    yield server
    server.end()


def test_redis_over_tls_with_the_documented_rights(world, redis, authority, tmp_path):
    rights = re.search(r"^ +(ACL SETUSER gate .*)$", GUIDE, re.M)[1].replace(">password", ">planted-gate-password")
    assert b"+OK\r\n+OK" in redis.command_line(rights)
    (tmp_path / "limits.toml").write_text('[[limit]]\nname = "all"\ngroup = "any"\nrequests = 1000\nper = "1h"\n')
    section = (f'[redis]\nurl = "rediss://gate@127.0.0.1:{redis.tls_port}"\npassword = "planted-gate-password"\n'
               f'cafile = "{authority.root}"\n[limits]\nmember_updates_per_client = 1000\n'
               f'[rate_limits]\nrules_file = "{tmp_path}/limits.toml"\n')
    with running(world, tmp_path, section, section) as (first, second):
        for gate in (first, second):
            until("both know of each other", lambda gate=gate: gate.metric("glance_gate_fleet_gates ") == 1)
        member, owner = world.state.token("u1", MEMBER), world.state.token("u2", OWNER)
        image = world.state.image()
        assert second.accept(image, member) == 200
        world.state.owners[image] = MEMBER
        assert first.patch(image, owner) == 200
        until("the other knows", lambda: second.accept(image, member) == 403, SOON)
        syncs = 'glance_gate_fleet_rate_syncs_total{outcome="done"}'
        until("counts are exchanged", lambda: second.metric(syncs) >= 1)
        keys = re.findall(rb"glance-gate:spent:[0-9a-f]+", redis.command_line("KEYS *"))
        kept = [int(redis.command_line("PTTL " + key.decode()).split(b":")[1].split()[0]) for key in keys]
        assert max(kept) > 3600, "what was spent of the limit, longer than a question whether that may be told"
        assert second.told("not connected", "redis") == 0


def test_rabbit_over_tls_with_the_documented_rights(world, rabbit, authority, tmp_path):
    rights = re.search(r"configure `(\S+)`, write `(\S+)`, read\s+`(\S+)`", GUIDE).groups()
    rabbit.call("add_user", "gate", "planted-gate-password")
    rabbit.call("set_permissions", "gate", *rights)
    glance = Service(rabbit, "glance")
    glance.tell("image.send", {})
    section = (f'[notifications]\ntransport_url = "rabbit://gate:planted-gate-password@127.0.0.1:{rabbit.tls_port}/?ssl=1"\n'
               f'cafile = "{authority.root}"\n')
    with running(world, tmp_path, section) as (gate,):
        until("the exchange is read", lambda: reads(gate) == 1)
        member, image = world.state.token("u1", MEMBER), world.state.image()
        assert gate.accept(image, member) == 200
        world.state.owners[image] = MEMBER
        glance.tell("image.update", image_payload(image, MEMBER))
        until("it knows", lambda: gate.accept(image, member) == 403, SOON)


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_a_server_that_is_not_the_one_or_does_not_know_the_gate_is_told(world, redis, authority, tmp_path, wrong):
    url = f"rediss://127.0.0.1:{redis.tls_port}" if wrong == "authority" else f"redis://127.0.0.1:{redis.port}"
    password = redis.password if wrong == "authority" else "planted-wrong-password"
    with running(world, tmp_path, f'[redis]\nurl = "{url}"\npassword = "{password}"\n') as (gate,):
        until("it is told", lambda: gate.told("not connected", "redis") == 1)
        cause = next(line["cause"] for line in gate.lines() if line["message"].startswith("not connected"))
        assert re.search("certificate|UnknownIssuer" if wrong == "authority" else "(?i)auth|password", cause), cause
        assert not gate.stands("other gates")
