"""The guard cases: what each target must answer before it is measured, and what may reach Glance."""

import json
import socket
import urllib.request

ACCEPTED = '{"status": "accepted"}'


def guard_cases(folder):
    """Returns name, request, and the allowed answers of each case."""
    known = json.loads((folder / "cases.json").read_text())
    image, member = known["image"], known["member"]
    path = f"/v2/images/{image}/members/{member}"

    def update(token="good", path=path, body=ACCEPTED, media="application/json", method="PUT"):
        head = (f"{method} {path} HTTP/1.1\r\nHost: glance\r\nAccept: application/json\r\nConnection: close\r\n"
                f"X-Auth-Token: {known[token]}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n")
        return (head + body).encode()

    owned = f"/v2/images/{image}/members/{known['owner_project']}"
    return [
        ("ok", update(), {200}),
        ("bad signature", update("forged"), {401}),
        ("expired", update("expired"), {401}),
        ("other project", update("other"), {404}),
        ("owner", update("owner", path=owned), {403}),
        ("bad enum", update(body='{"status": "perhaps"}'), {400}),
        ("bad JSON", update(body='{"status": "accepted"'), {400}),
        ("wrong content type", update(media="text/plain"), {415}),
        ("bad uuid", update(path=f"/v2/images/not-a-uuid/members/{member}"), {404}),
        # the gate refuses what can be read in two ways; the peers find no such resource
        ("bad path", update(path=path.replace("/members/", "//members/")), {400, 404}),
        ("too large", update(body='{"status": "accepted", "x": "' + "x" * 70000 + '"}'), {413}),
        ("method", update(method="POST"), {405}),
    ]


def send(address, request):
    """Returns the status of the answer, and 0 for none."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as stream:
        try:
            stream.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the body was sent whole; the answer is there all the same
        answer = b""
        try:
            while b"\r\n" not in answer:
                block = stream.recv(4096)
                if not block:
                    break
                answer += block
        except ConnectionResetError:
            pass
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def updates_seen(stub_address):
    with urllib.request.urlopen(f"http://{stub_address}/seen", timeout=5) as answer:
        return json.load(answer)["member_updates"]


def check(target, folder, stub_address):
    """Runs all cases twice, cold and from the caches; returns what was wrong."""
    wrong = []
    for turn in ("cold", "warm"):
        for name, request, allowed in guard_cases(folder):
            before = updates_seen(stub_address)
            status = send(target.address, request)
            passed = updates_seen(stub_address) - before
            if status not in allowed:
                wrong.append(f"{name} ({turn}): {status}, not {' or '.join(map(str, sorted(allowed)))}")
            if passed != (name == "ok"):
                wrong.append(f"{name} ({turn}): {passed} update(s) reached Glance")
    return wrong
