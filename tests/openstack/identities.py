"""Makes a token for every caller that the cases name, through Keystone's API.

Two kinds cannot be had from the API and are minted with Keystone's own formatter
and keys: an expired token, and a valid one that Keystone never handed out.
"""
import os
import pathlib
import subprocess
import sys

import requests

MINT = pathlib.Path(__file__).with_name("mint.py")
DOMAIN = {"id": "default"}
MEMBER_PATH = "/v2/images/*/members/*"
# Application credentials of beta, by the suffix of the caller's name.
ACCESS_RULES = {
    "": None,
    "-norules": [],
    "-put": [{"service": "image", "method": "PUT", "path": MEMBER_PATH}],
    "-get": [{"service": "image", "method": "GET", "path": MEMBER_PATH}],
    "-tag": [{"service": "image", "method": "PUT", "path": "/v2/images/{image_id}/members/{member_id}"}],
    "-rec": [{"service": "image", "method": "PUT", "path": "/v2/images/**"}],
    "-othersvc": [{"service": "compute", "method": "PUT", "path": MEMBER_PATH}],
}


class Identities:
    """The callers of one test run; `tokens` maps their names to tokens."""

    def __init__(self, stack: dict):
        self.stack, self.http = stack, requests.Session()
        self.keystone = stack["keystone"] + "/v3"
        self.made: list[str] = []  # what close() removes again
        self.credentials: dict[str, dict] = {}  # application credentials: id and secret
        self.tokens = {name: self.password_token(name) for name in stack["users"]}
        self.tokens["system-admin"] = self.password_token("admin", {"system": {"all": True}})
        self.tokens["domain-admin"] = self.password_token("admin", {"domain": DOMAIN})
        self.tokens["domain-beta"] = self.password_token("beta", {"domain": DOMAIN})
        self.tokens["beta-unscoped"] = self.password_token("beta", "unscoped")
        self.tokens["beta-used-then-revoked"] = self.password_token("beta")
        self.tokens["beta-revoked"] = self.password_token("beta")
        self.happen("revoke:beta-revoked")
        for suffix, rules in ACCESS_RULES.items():
            name = "beta-appcred" + suffix
            self.tokens[name] = self.credential_token(self.add_credential("beta", name, rules))
        self.tokens["gamma-trust-beta"] = self._trust_token()
        self.tokens["beta-minted"], self.tokens["beta-expired"] = self._minted()

    def close(self) -> None:
        """Removes what was made in Keystone."""
        for path in self.made:
            owner = "beta" if "/trusts/" in path else path.split(" ")[0]
            self._call("DELETE", path.split(" ")[-1], owner)

    def happen(self, event: str) -> None:
        """Makes `revoke:NAME` happen to the token of that name; twice is once."""
        action, _, name = event.partition(":")
        assert action == "revoke", event
        token = self.tokens[name]
        answer = self.http.delete(self.keystone + "/auth/tokens",
                                  headers={"X-Auth-Token": self.tokens["admin"], "X-Subject-Token": token})
        assert answer.status_code in (204, 404), answer.text

    def password_token(self, user: str, scope=None) -> str:
        """Returns a new token of the user, of the own project unless another scope is given."""
        account = self.stack["users"][user]
        scope = scope or {"project": {"name": account["project"], "domain": DOMAIN}}
        return self._token({"methods": ["password"], "password": {
            "user": {"id": account["id"], "password": account["password"]}}}, scope)

    def credential_token(self, credential: dict) -> str:
        """Returns a new token of the application credential."""
        return self._token({"methods": ["application_credential"], "application_credential": {
            "id": credential["id"], "secret": credential["secret"]}}, None)

    def add_credential(self, user: str, name: str, rules=None) -> dict:
        """Returns a new application credential of the user, with its secret."""
        self._drop_leftover(user, name)
        body = {"name": name} | ({} if rules is None else {"access_rules": rules})
        path = f"/users/{self.stack['users'][user]['id']}/application_credentials"
        made = self._call("POST", path, user, {"application_credential": body})["application_credential"]
        self.made.append(f"{user} {path}/{made['id']}")
        self.credentials[name] = made
        return made

    def _drop_leftover(self, user: str, name: str) -> None:
        path = f"/users/{self.stack['users'][user]['id']}/application_credentials"
        for old in self._call("GET", f"{path}?name={name}", user)["application_credentials"]:
            self._call("DELETE", f"{path}/{old['id']}", user)

    def _trust_token(self) -> str:
        users = self.stack["users"]
        trust = self._call("POST", "/OS-TRUST/trusts", "beta", {"trust": {
            "trustor_user_id": users["beta"]["id"], "trustee_user_id": users["gamma"]["id"],
            "project_id": self.stack["projects"]["beta"], "impersonation": False,
            "roles": [{"name": "member"}]}})["trust"]
        self.made.append(f"/OS-TRUST/trusts/{trust['id']}")
        return self.password_token("gamma", {"OS-TRUST:trust": {"id": trust["id"]}})

    def _minted(self) -> list[str]:
        stack = self.stack
        output = subprocess.run(
            [sys.executable, str(MINT), stack["state"], stack["users"]["beta"]["id"],
             stack["projects"]["beta"], stack["token_provider"]],
            env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=True, capture_output=True, text=True).stdout
        return output.split()[-2:]

    def _token(self, identity: dict, scope) -> str:
        auth = {"identity": identity} | ({"scope": scope} if scope else {})
        answer = self.http.post(self.keystone + "/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def _call(self, method: str, path: str, caller: str, body=None):
        answer = self.http.request(method, self.keystone + path, json=body,
                                   headers={"X-Auth-Token": self.tokens[caller]})
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
