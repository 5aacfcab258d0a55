"""Seeds Keystone with the roles, projects, users and catalog of the tests; idempotent.

Run by up.sh before Glance is first used. Application credentials, trusts and
tokens are not made here: a test run makes its own (identities.py).
"""
import json
import os

import requests

KEYSTONE, GLANCE, REGION = os.environ["KS_URL"] + "/v3", os.environ["GL_URL"], os.environ["REGION"]
http = requests.Session()


def login(user: str, password: str, project: str) -> str:
    """Returns a token of the user, scoped to the project."""
    domain = {"id": "default"}
    answer = http.post(KEYSTONE + "/auth/tokens", json={"auth": {
        "identity": {"methods": ["password"], "password": {
            "user": {"name": user, "password": password, "domain": domain}}},
        "scope": {"project": {"name": project, "domain": domain}}}})
    answer.raise_for_status()
    return answer.headers["X-Subject-Token"]


def call(method: str, path: str, **arguments):
    """Returns Keystone's answer as JSON; ends the program when it is a refusal."""
    answer = http.request(method, KEYSTONE + path, **arguments)
    if answer.status_code not in (200, 201, 204):
        raise SystemExit(f"{method} {path} -> {answer.status_code} {answer.text}")
    return answer.json() if answer.content else None


def ensure(collection: str, kind: str, name: str, body: dict) -> str:
    """Returns the id of the thing with this name, made if it is missing."""
    found = call("GET", f"/{collection}", params={"name": name, **{k: v for k, v in body.items() if k == "domain_id"}})
    if found[collection]:
        one = found[collection][0]["id"]
        # A new password revokes the user's tokens: never for the admin we are.
        if "password" in body and name != "admin":
            call("PATCH", f"/{collection}/{one}", json={kind: {"password": body["password"]}})
        return one
    return call("POST", f"/{collection}", json={kind: dict(body, name=name)})[kind]["id"]


http.headers["X-Auth-Token"] = login("admin", os.environ["ADMIN_PASS"], "admin")
roles = {name: ensure("roles", "role", name, {})
         for name in ("admin", "manager", "member", "reader", "service", "guest")}
projects = {name: ensure("projects", "project", name, {"domain_id": "default"})
            for name in ("service", "alpha", "beta", "gamma", "admin")}

# name: (project, role). alpha owns the images, beta is the member, gamma is anybody else.
ACCOUNTS = {
    "admin": ("admin", "admin"), "glance": ("service", "service"), "nova": ("service", "service"),
    "alpha": ("alpha", "member"), "alpha-reader": ("alpha", "reader"), "alpha-admin": ("alpha", "admin"),
    "beta": ("beta", "member"), "beta-reader": ("beta", "reader"), "beta-admin": ("beta", "admin"),
    "beta-manager": ("beta", "manager"), "beta-guest": ("beta", "guest"),  # guest: named by no policy
    "gamma": ("gamma", "member"), "gamma-reader": ("gamma", "reader"),
}
given = {"admin": os.environ["ADMIN_PASS"], "glance": os.environ["GLANCE_PASS"]}
users = {}
for name, (project, role) in ACCOUNTS.items():
    password = given.get(name, name + "pass")
    user = ensure("users", "user", name, {"domain_id": "default", "password": password,
                                          "default_project_id": projects[project]})
    users[name] = {"id": user, "password": password, "project": project, "role": role}
    call("PUT", f"/projects/{projects[project]}/users/{user}/roles/{roles[role]}")
for name, role in (("admin", "admin"), ("beta", "member")):  # for domain-scoped tokens
    call("PUT", f"/domains/default/users/{users[name]['id']}/roles/{roles[role]}")

service = call("GET", "/services", params={"type": "image"})["services"]
service_id = service[0]["id"] if service else call(
    "POST", "/services", json={"service": {"type": "image", "name": "glance"}})["service"]["id"]
have = {e["interface"] for e in call("GET", "/endpoints", params={"service_id": service_id})["endpoints"]}
for interface in {"public", "internal", "admin"} - have:
    call("POST", "/endpoints", json={"endpoint": {
        "interface": interface, "region": REGION, "service_id": service_id, "url": GLANCE}})
with open(os.environ["OUT"], "w") as out:
    json.dump({"projects": projects, "users": users, "roles": roles, "image_service_id": service_id}, out, indent=1)
