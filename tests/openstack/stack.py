"""Brings the real Keystone and Glance into the mode a test run wants, through up.sh."""
import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
MODES = [f"{tokens}-{policy}" for tokens in ("fernet", "jws") for policy in ("new", "legacy")]


def state() -> pathlib.Path:
    """Returns the folder of databases, logs and reports."""
    shell = '. "$0/lib.sh"; printf %s "$STATE"'
    return pathlib.Path(subprocess.run(["bash", "-c", shell, HERE], check=True, capture_output=True, text=True).stdout)


def up(mode: str, **more: str) -> dict:
    """Returns ids, URLs and accounts of the stack, running in the mode and with more variables for up.sh; restarts only
    what must be."""
    tokens, policy = mode.split("-")
    environment = os.environ | more | {
        "TOKEN_PROVIDER": tokens, "ENFORCE_NEW_DEFAULTS": "true" if policy == "new" else "false"}
    done = subprocess.run([HERE / "up.sh"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"up.sh failed:\n{done.stderr}"
    return json.loads((state() / "stack.json").read_text())


def down(service: str) -> None:
    """Stops one service, for the tests of outages; `up` starts it again."""
    subprocess.run([HERE / "down.sh", service], check=True)


def publish(stack: dict, url: str) -> None:
    """Points the image service of Keystone's catalog at the URL."""
    import requests

    account, keystone = stack["users"]["admin"], stack["keystone"] + "/v3"
    session = requests.Session()
    login = session.post(keystone + "/auth/tokens", json={"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "id": account["id"], "password": account["password"]}}},
        "scope": {"project": {"name": account["project"], "domain": {"id": "default"}}}}})
    login.raise_for_status()
    session.headers["X-Auth-Token"] = login.headers["X-Subject-Token"]
    listed = session.get(keystone + "/endpoints", params={"service_id": stack["image_service_id"]})
    for endpoint in listed.json()["endpoints"]:
        if endpoint["url"] != url:
            session.patch(f"{keystone}/endpoints/{endpoint['id']}",
                          json={"endpoint": {"url": url}}).raise_for_status()
