"""The images and members that the cases need, made and put back through Glance's API.

The owner of everything is project alpha unless said otherwise. `reset` puts the
members of an image back to what they were, so that two sends of one request meet
the same world; `members` reads what a send has left behind.
"""
import secrets

import requests

from identities import Identities

MISSING = "00000000-0000-4000-8000-000000000000"
ODD_IDS = ("plain.json", "with space", "a/b", "ü", "x" * 255)
# name: (attributes, members by project name, visibility afterwards)
IMAGES = {
    "shared": ({}, ("beta", "gamma", "alpha"), None),
    "sharedbeta": ({}, ("beta",), None),
    "nomember": ({}, (), None),
    "private": ({"visibility": "private"}, (), None),
    "community": ({}, (), "community"),
    "public": ({}, (), "public"),
    "was-shared-private": ({}, ("beta",), "private"),
    "was-shared-community": ({}, ("beta",), "community"),
    "was-shared-public": ({}, ("beta",), "public"),
    "queued": ({}, ("beta",), None),
    "protected": ({"protected": True}, ("beta",), None),
    "hidden": ({"os_hidden": True}, ("beta",), None),
    "deactivated": ({}, ("beta",), None),
    "deleted": ({}, ("beta",), None),
    "removed": ({}, (), None),
    "adminowned": ({}, ("beta",), None),
    "weird": ({}, ODD_IDS, None),
    "quota": ({}, ("beta", *(f"filler-{n}" for n in range(9))), None),
}


class World:
    """Ids and tokens for the templates, and the members as they are meant to be.

    Another Glance's world may be made `like` one: with its callers, and images of the same names.
    """

    def __init__(self, stack: dict, like: "World | None" = None):
        self.stack, self.http = stack, requests.Session()
        self.like = like
        self.identities = like.identities if like else Identities(stack)
        self.tokens = self.identities.tokens
        self.ids = {f"p.{name}": value for name, value in stack["projects"].items()}
        self.ids |= {f"u.{name}": user["id"] for name, user in stack["users"].items()}
        self.ids["img.missing"] = MISSING
        self.meant: dict[str, dict[str, str]] = {}
        self.left: dict[str, dict[str, str]] = {}  # as last read
        self.mark = like.mark if like else secrets.token_hex(4)
        for name, (attributes, members, visibility) in IMAGES.items():
            self._add_image(name, attributes, members, visibility)

    def close(self) -> None:
        """Removes the images, credentials and trusts."""
        for name in IMAGES:
            path = f"/v2/images/{self.ids['img.' + name]}"
            if IMAGES[name][0].get("protected"):
                self.patch(path, "/protected", False)
            self.call("DELETE", path, accept=(204, 404))
        if not self.like:
            self.identities.close()

    def call(self, method: str, path: str, caller: str = "admin", accept=(200, 201, 204), **arguments):
        """Returns Glance's answer to the path, asserting its status."""
        headers = {"X-Auth-Token": self.tokens[caller]} | arguments.pop("headers", {})
        answer = self.http.request(method, self.stack["glance"] + path, headers=headers, **arguments)
        assert answer.status_code in accept, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def meant_members(self, image: str, case_members=None) -> dict[str, str]:
        """Returns member ids and statuses as the case wants them before it is sent."""
        special = (case_members or {}).get(image, {})
        return self.meant[image] | {self.ids.get(member, member): status for member, status in special.items()}

    def members(self, image: str) -> dict[str, str]:
        """Returns member ids and statuses as they are; empty when members cannot be listed."""
        answer = self.call("GET", f"/v2/images/{self.ids['img.' + image]}/members", accept=(200, 403, 404))
        listed = answer.json()["members"] if answer.status_code == 200 else []
        self.left[image] = {member["member_id"]: member["status"] for member in listed}
        return self.left[image]

    def reset(self, image: str, case_members=None) -> None:
        """Puts the members of the image back; costs nothing when they are as meant."""
        meant, found = self.meant_members(image, case_members), self.left.pop(image, None)
        if found is None:
            found = self.members(image)
        path = f"/v2/images/{self.ids['img.' + image]}/members"
        for member in found.keys() - meant.keys():
            self.call("DELETE", f"{path}/{member}")
        for member in meant.keys() - found.keys():
            self.call("POST", path, json={"member": member})
        for member, status in meant.items():
            if found.get(member, "pending") != status:
                self.call("PUT", f"{path}/{member}", json={"status": status})
        self.left[image] = meant

    def _add_image(self, name: str, attributes: dict, members: tuple, visibility: str | None) -> None:
        caller = "admin" if name == "adminowned" else "alpha"
        body = {"name": f"t-{name}-{self.mark}", "disk_format": "raw", "container_format": "bare",
                "visibility": "shared"} | attributes
        image = self.ids[f"img.{name}"] = self.call("POST", "/v2/images", caller, json=body).json()["id"]
        path = f"/v2/images/{image}"
        if name != "queued":
            self.call("PUT", path + "/file", caller, data=b"0123456789abcdef",
                      headers={"Content-Type": "application/octet-stream"})
        for member in members:
            self.call("POST", path + "/members", caller, json={"member": self.ids.get(f"p.{member}", member)})
        if name == "removed":
            self.call("POST", path + "/members", caller, json={"member": self.ids["p.beta"]})
            self.call("DELETE", f"{path}/members/{self.ids['p.beta']}", caller)
        if visibility:
            self.patch(path, "/visibility", visibility)
        if name == "deactivated":
            self.call("POST", path + "/actions/deactivate")
        if name == "deleted":
            self.call("DELETE", path)
        self.meant[name] = {}
        if not visibility and name != "deleted":
            self.meant[name] = {self.ids.get(f"p.{member}", member): "pending" for member in members}

    def patch(self, path: str, attribute: str, value) -> None:
        """Replaces an attribute of the image at the path."""
        self.call("PATCH", path, json=[{"op": "replace", "path": attribute, "value": value}],
                  headers={"Content-Type": "application/openstack-images-v2.1-json-patch"})
