"""The usual clients work through the gate as they do before Glance.

Keystone's catalog points at the gate meanwhile, so that discovery is part of the
test: clients ask `GET /` for versions and follow the links they are given. The
cloud's refusals must reach the user with the same words.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import openstack
import pytest
import requests

import stack as stacks

BIN = pathlib.Path(sys.executable).parent
SIZE = 4 * 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def catalog(stack, gate):
    """The catalog names the gate while these tests run."""
    stacks.publish(stack, gate.url)
    yield
    stacks.publish(stack, stack["glance"])


@pytest.fixture
def shared(world):
    """The id of an image of alpha shared with beta, gamma and alpha; beta is pending."""
    world.reset("shared")
    yield world.ids["img.shared"]
    world.left.pop("shared", None)


def run(stack, user, *command, succeeds=True):
    """Returns what the command prints, run with the user's credentials in the environment."""
    account = stack["users"][user]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | {
        "OS_AUTH_URL": stack["keystone"] + "/v3", "OS_IDENTITY_API_VERSION": "3", "OS_REGION_NAME": stack["region"],
        "OS_USERNAME": user, "OS_PASSWORD": account["password"], "OS_PROJECT_NAME": account["project"],
        "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default", "OS_INTERFACE": "public",
        "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([BIN / command[0], *map(str, command[1:])], env=environment, capture_output=True,
                          text=True, timeout=120)
    assert (done.returncode == 0) == succeeds, f"{command} as {user}: {done.stdout}\n{done.stderr}"
    return done.stdout if succeeds else done.stdout + done.stderr


def connect(stack, user):
    """Returns an openstacksdk connection of the user."""
    account = stack["users"][user]
    return openstack.connect(
        auth_url=stack["keystone"] + "/v3", username=user, password=account["password"],
        project_name=account["project"], user_domain_id="default", project_domain_id="default",
        region_name=stack["region"], load_envvars=False, load_yaml_config=False)


def status_of(world, image, project):
    return world.members(image)[world.ids[f"p.{project}"]]


@pytest.mark.parametrize("option, status", [("--accept", "accepted"), ("--reject", "rejected"), ("--pending", "pending")])
def test_openstack_image_set(stack, world, shared, option, status):
    if status == "pending":
        path = f"/v2/images/{shared}/members/{world.ids['p.beta']}"
        world.call("PUT", path, json={"status": "accepted"})
    run(stack, "beta", "openstack", "image", "set", option, shared)
    assert status_of(world, "shared", "beta") == status


def test_openstack_shows_the_owner_the_refusal(stack, world, shared):
    said = run(stack, "alpha", "openstack", "image", "set", "--accept", "--project", world.ids["p.beta"], shared,
               succeeds=False)
    assert "403" in said and ("modify_member" in said or "Not allowed to update members" in said), said
    assert status_of(world, "shared", "beta") == "pending"


def test_openstack_tells_a_stranger_of_no_image(stack, world):
    image = world.ids["img.sharedbeta"]
    said = run(stack, "gamma", "openstack", "image", "set", "--accept", "--project", world.ids["p.beta"], image,
               succeeds=False)
    assert "404" in said or "No Image found" in said, said


def test_openstack_lists_and_shows_through_the_gate(stack, world, gate, shared):
    path = f"/v2/images/{shared}/members/{world.ids['p.beta']}"
    world.call("PUT", path, json={"status": "accepted"})
    world.left.pop("shared", None)
    listed = json.loads(run(stack, "beta", "openstack", "image", "list", "--shared", "-f", "json"))
    assert shared in [image["ID"] for image in listed]
    shown = run(stack, "beta", "openstack", "--debug", "image", "show", shared, "-f", "json")
    assert json.loads(shown)["id"] == shared


def test_clients_talk_to_the_gate_alone(stack, gate, shared):
    account = stack["users"]["beta"]
    done = subprocess.run(
        [BIN / "openstack", "--debug", "--os-auth-url", stack["keystone"] + "/v3", "--os-username", "beta",
         "--os-password", account["password"], "--os-project-name", "beta", "--os-user-domain-id", "default",
         "--os-project-domain-id", "default", "image", "show", shared], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert gate.url in done.stderr
    if gate.url != stack["glance"]:
        assert stack["glance"] not in done.stderr, "a client went around the gate"


def test_glance_member_update(stack, world, shared):
    member = world.ids["p.beta"]
    said = run(stack, "beta", "glance", "member-update", shared, member, "accepted")
    assert "accepted" in said
    assert status_of(world, "shared", "beta") == "accepted"


def test_glance_member_update_as_owner(stack, world, shared):
    said = run(stack, "alpha", "glance", "member-update", shared, world.ids["p.beta"], "rejected", succeeds=False)
    assert "403" in said, said


def test_sdk_update_member(stack, world, shared):
    member = world.ids["p.beta"]
    updated = connect(stack, "beta").image.update_member(member, shared, status="rejected")
    assert (updated.status, updated.image_id, updated.member_id) == ("rejected", shared, member)
    assert updated.schema == "/v2/schemas/member"
    with pytest.raises(openstack.exceptions.ForbiddenException):
        connect(stack, "alpha").image.update_member(member, shared, status="accepted")
    with pytest.raises(openstack.exceptions.NotFoundException):
        connect(stack, "gamma").image.update_member(member, world.ids["img.sharedbeta"], status="accepted")
    with pytest.raises(openstack.exceptions.BadRequestException):
        connect(stack, "beta").image.update_member(member, shared, status="maybe")


def test_openstack_uploads_and_downloads(stack, world, tmp_path):
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.write_bytes(os.urandom(SIZE))
    name = f"t-upload-{world.mark}"
    made = json.loads(run(stack, "alpha", "openstack", "image", "create", "--file", original, "--disk-format", "raw",
                          "--container-format", "bare", "-f", "json", name))
    run(stack, "alpha", "openstack", "image", "save", "--file", copy, made["id"])
    assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(original.read_bytes()).digest()
    run(stack, "alpha", "openstack", "image", "delete", made["id"])
    world.call("GET", f"/v2/images/{made['id']}", accept=(404,))


def test_version_links_lead_back_to_the_gate(gate):
    answer = requests.get(gate.url + "/")
    assert answer.status_code == 300
    links = {link["href"] for version in answer.json()["versions"] for link in version["links"]}
    assert links == {gate.url + "/v2/"}
