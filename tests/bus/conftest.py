"""Servers and stand-ins shared by the tests of several gates."""
import pytest

import servers
import standins


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = servers.Redis(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory):
    server = servers.Rabbit(tmp_path_factory.mktemp("rabbit")).start()
    yield server
    server.end()


@pytest.fixture
def world():
    made = standins.World()
    yield made
    made.close()
