"""The sidecar for Kolla Ansible: its template is filled in as Kolla Ansible does, its files are copied as kolla_set_configs
does, and its command is run in place of HAProxy, with TLS."""
import json
import re
import shlex
import ssl
import subprocess
import urllib.request

import jinja2
import pytest
import yaml
from conftest import DEPLOY, GATE, eventually, free_ports, run

KOLLA = DEPLOY / "kolla"

# Variables of the role glance of Kolla Ansible, stable/2025.1 and stable/2025.2 (ansible/roles/glance/defaults/main.yml).
ROLE = {
    "glance_enable_tls_backend", "glance_tls_proxy_image_full", "glance_tls_proxy_extra_volumes",
    "glance_tls_proxy_healthcheck_test",
}


def variables(**more):
    """Returns what Kolla Ansible fills a template in with, at its defaults."""
    return {
        "api_interface_address": "127.0.0.1",
        "glance_tls_proxy_max_connections": 40000,
        "glance_tls_proxy_http_request_timeout": "10s",
        "glance_tls_proxy_http_keep_alive_timeout": "10s",
        "glance_tls_proxy_client_timeout": "6h",
        "glance_tls_proxy_server_timeout": "6h",
        "glance_tls_proxy_connect_timeout": "10s",
        "keystone_internal_url": "http://127.0.0.1:9",
        "keystone_public_url": "https://cloud.example.org:5000",
        "glance_keystone_user": "glance",
        "glance_keystone_password": "planted",
        "default_user_domain_id": "default",
        "default_project_domain_id": "default",
        "openstack_cacert": "",
        "groups": {"loadbalancer": ["one", "two"]},
        **more,
    }


def filled(text, **more):
    """Fills a template in as Ansible does: what is not defined is an error."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["put_address_in_context"] = lambda address, _: f"[{address}]" if ":" in address else address
    environment.filters["kolla_address"] = lambda _, host: {"one": "192.0.2.1", "two": "192.0.2.2"}[host]
    return environment.from_string(text).render(**variables(**more))


@pytest.fixture
def controller(tmp_path):
    """A folder of the node's configuration, as the role glance leaves it."""
    folder = tmp_path / "etc-kolla"
    folder.mkdir()
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
        "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem")
    # Kolla assembles the two in the order of their names
    bundle = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "glance-cert-and-key.pem").write_text(bundle)
    return folder


def set_configs(source, root):
    """Does what kolla_set_configs does with config.json, below a root of the test's own; returns the command."""
    config = json.loads((KOLLA / "config.json").read_text())
    assert set(config) == {"command", "config_files"}
    for file in config["config_files"]:
        assert set(file) - {"optional"} == {"source", "dest", "owner", "perm"}
        assert file["owner"] in ("glance", "root") and re.fullmatch("0[0-7]{3}", file["perm"])
        path = source / file["source"].removeprefix("/var/lib/kolla/config_files/")
        if file.get("optional") and not path.exists():
            continue
        copy = root / file["dest"].lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(int(file["perm"], 8))
    return shlex.split(config["command"])


def placed(command, text, root):
    """Moves the paths of the container below the root."""
    return [word.replace("/etc/glance", f"{root}/etc/glance") for word in command], text.replace("/etc/glance/", f"{root}/etc/glance/")


def test_the_sidecar_ends_tls_and_guards_glance(controller, demo, tmp_path):
    listen, operators = free_ports(2)
    template = (KOLLA / "glance-tls-proxy.cfg").read_text()
    text = filled(template, glance_api_listen_port=listen, glance_tls_proxy_stats_port=operators)
    assert 'trusted_proxies = ["192.0.2.1", "192.0.2.2"]' in text
    # the port is one and the same on two addresses; here the stand-in has another
    text = text.replace(f'servers = ["http://127.0.0.1:{listen}"]', f'servers = ["{demo["url"]}"]')
    root = tmp_path / "root"
    command = set_configs_with(controller, root, text)
    assert command[0] == "/usr/bin/glance-gate"
    log = (tmp_path / "log").open("w")
    gate = subprocess.Popen([GATE, *command[1:]], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        health = yaml.safe_load((KOLLA / "globals.yml").read_text())["glance_tls_proxy_healthcheck_test"]
        health = [filled(word, glance_tls_proxy_stats_port=operators) for word in health]
        assert health[:2] == ["CMD", "/usr/bin/glance-gate"]
        eventually("the sidecar is well", lambda: subprocess.run([GATE, *health[2:]], capture_output=True).returncode == 0)
        trust = ssl.create_default_context(cafile=str(controller / "cert.pem"))
        request = urllib.request.Request(f"https://127.0.0.1:{listen}/v2/images", headers={"X-Auth-Token": demo["token"]})
        with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
            assert answer.status == 200 and b'"images"' in answer.read()
    finally:
        gate.terminate()
        assert gate.wait(60) == 0, (tmp_path / "log").read_text()
    assert "planted" not in (tmp_path / "log").read_text()


def set_configs_with(controller, root, text):
    """Puts the filled in template where Kolla Ansible does, and has its files copied."""
    command, text = placed(json.loads((KOLLA / "config.json").read_text())["command"].split(), text, root)
    (controller / "glance-tls-proxy.cfg").write_text(text)
    set_configs(controller, root)
    return command


def test_the_template_is_a_good_configuration_wherever_kolla_puts_it(controller, tmp_path):
    template = (KOLLA / "glance-tls-proxy.cfg").read_text()
    for address in ("192.0.2.7", "2001:db8::7"):
        text = filled(template, api_interface_address=address, glance_api_listen_port=9292, glance_tls_proxy_stats_port=9293)
        command = set_configs_with(controller, tmp_path / address, text)
        assert command[1:3] == ["serve", "--config"]
        run(GATE, "check", "--config", command[3])


def test_the_variables_are_those_of_the_role():
    snippet = yaml.safe_load((KOLLA / "globals.yml").read_text())
    assert set(snippet) == ROLE
    (volume,) = snippet["glance_tls_proxy_extra_volumes"]
    _, inside, mode = volume.split(":")
    assert (inside, mode) == ("/var/lib/kolla/config_files/config.json", "ro")
