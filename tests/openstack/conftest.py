"""Options and fixtures shared by the tests against the real Keystone and Glance."""
import os

import pytest

import gate as gates
import stack as stacks
from world import World


def pytest_addoption(parser):
    parser.addoption("--mode", default=os.environ.get("GATE_TEST_MODE", stacks.MODES[0]), choices=stacks.MODES,
                     help="token provider and policy defaults of the stack (default: fernet-new)")
    parser.addoption("--lookup-as", default="caller", choices=("caller", "service"),
                     help="whose token the gate looks ownership up with (default: caller)")
    parser.addoption("--jws", default="off", choices=("off", "verify", "offline"),
                     help="how the gate checks JWS tokens (default: off, Keystone is asked)")
    parser.addoption("--against-itself", action="store_true",
                     help="the other side is Glance too (GATE_URL, default Glance's own URL): no difference is allowed")


@pytest.fixture(scope="session")
def mode(request):
    return request.config.getoption("--mode")


@pytest.fixture(scope="session")
def stack(mode):
    return stacks.up(mode)


@pytest.fixture(scope="session")
def world(stack):
    made = World(stack)
    gates.SECRETS.update(token for token in made.tokens.values() if token)
    yield made
    made.close()


@pytest.fixture(scope="session")
def against_itself(request, stack):
    itself = request.config.getoption("--against-itself")
    if itself and not gates.OVERRIDE:
        gates.OVERRIDE = stack["glance"]
    return itself


@pytest.fixture(scope="session")
def gate(request, stack, against_itself, tmp_path_factory):
    """The gate in the `glance` profile."""
    with gates.running(stack, tmp_path_factory.mktemp("gate"), lookup_as=request.config.getoption("--lookup-as"),
                       jws=request.config.getoption("--jws")) as started:
        yield started


@pytest.fixture(scope="session")
def family_gate(request, stack, against_itself, tmp_path_factory):
    """The same, guarding the whole member family."""
    with gates.running(stack, tmp_path_factory.mktemp("family"), lookup_as=request.config.getoption("--lookup-as"),
                       jws=request.config.getoption("--jws"),
                       guard=("update", "create", "delete", "list", "show")) as started:
        yield started


def pytest_terminal_summary(terminalreporter):
    for line in getattr(terminalreporter.config, "closing_lines", []):
        terminalreporter.write_line(line)
