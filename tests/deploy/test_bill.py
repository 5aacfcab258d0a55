"""The bill of materials: in the form of CycloneDX, with every crate that is linked in, and nothing of the machine's."""
import json
import pathlib
import subprocess
import tomllib

import cyclonedx.schema
import jsonschema_rs
import pytest
from conftest import ROOT, run


@pytest.fixture
def told(bill):
    return json.loads(bill.read_text())


def test_it_has_the_form_of_cyclonedx(told):
    # the schemas are those that CycloneDX's own library ships; it takes half a minute to try them
    folder = pathlib.Path(cyclonedx.schema.__file__).parent / "_res"
    schemas = {name: json.loads((folder / name).read_text()) for name in (
        "bom-1.5.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")}
    registry = jsonschema_rs.Registry([(f"http://cyclonedx.org/schema/{name}", schema) for name, schema in schemas.items()])
    validator = jsonschema_rs.validator_for(schemas["bom-1.5.SNAPSHOT.schema.json"], registry=registry)
    assert not [error.message for error in validator.iter_errors(told)]
    assert told["specVersion"] == "1.5"
    told["components"][0]["type"] = "crate"
    assert not validator.is_valid(told), "what is wrong is found"


def test_it_lists_what_cargo_links_in(told):
    host = next(line.removeprefix("host: ") for line in run("rustc", "-vV").stdout.splitlines() if line.startswith("host"))
    tree = run("cargo", "tree", "--locked", "--offline", "--edges", "normal", "--target", host, "--prefix", "none",
               "--format", "{p}", cwd=ROOT).stdout
    linked = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    linked = {(name, version.removeprefix("v")) for name, version in linked} - {("glance-gate", told["metadata"]["component"]["version"])}
    listed = {(component["name"], component["version"]) for component in told["components"]}
    assert listed == linked


def test_each_crate_has_its_licence_and_the_checksum_of_the_lock(told):
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    for component in told["components"]:
        assert component["licenses"], component["name"]
        expected = checksums[component["name"], component["version"]]
        found = [each["content"] for each in component.get("hashes", []) if each["alg"] == "SHA-256"]
        assert found == ([expected] if expected else []), component["name"]


def test_it_tells_nothing_of_the_machine_it_was_made_on(bill, told):
    text = bill.read_text()
    assert str(ROOT) not in text
    assert told["metadata"]["component"]["name"] == "glance-gate"
    left = subprocess.run(["git", "-C", ROOT, "status", "--porcelain"], capture_output=True, text=True).stdout
    assert "glance-gate.bill" not in left, "nothing is left beside Cargo.toml"
