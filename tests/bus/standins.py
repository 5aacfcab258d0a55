"""A Keystone and a Glance that can be changed behind the gates' backs, and that count what they are asked."""
import http.server
import json
import re
import threading
import uuid

OWNER, MEMBER, STRANGER = "owner-project", "member-project", "stranger-project"


class State:
    def __init__(self):
        self.tokens: dict[str, tuple[str, str]] = {}
        self.owners: dict[str, str] = {}
        self.asked: dict[str, int] = {}
        self.held: dict[str, threading.Event] = {}
        self.lock = threading.Lock()

    def token(self, user: str, project: str) -> str:
        """Issues a token."""
        token = f"planted-{uuid.uuid4()}"
        self.tokens[token] = (user, project)
        return token

    def image(self, owner: str = OWNER) -> str:
        """Makes an image that is shared with everybody who asks."""
        image = str(uuid.uuid4())
        self.owners[image] = owner
        return image

    def hold(self, what: str) -> threading.Event:
        """Keeps answers about this back, once they are made, until the event is set."""
        self.held[what] = threading.Event()
        return self.held[what]

    def count(self, what: str) -> int:
        with self.lock:
            return self.asked.get(what, 0)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # head and body in one packet
    wbufsize = 65536
    state: State

    def log_message(self, *_):
        pass

    def answer(self, status: int, body=None, headers=()):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_any(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        if path == "/v3/auth/tokens":
            return self.keystone()
        with self.state.lock:
            key = f"{self.command} {path}"
            self.state.asked[key] = self.state.asked.get(key, 0) + 1
        if path == "/healthcheck":
            return self.answer(200, {})
        found = re.fullmatch(r"/v2/images/([0-9a-f-]{36})(/members/[^/]+)?", path)
        if not found or found[1] not in self.state.owners:
            return self.answer(404, {"message": "No image found"})
        owner = self.state.owners[found[1]]
        if found[2]:
            return self.answer(200, {"status": "accepted"})
        if self.command == "GET" and path in self.state.held:
            self.state.held[path].wait(10)
        return self.answer(200, {"id": found[1], "owner": owner, "visibility": "shared", "status": "active"})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    def keystone(self):
        if self.command == "POST":
            return self.answer(201, self.document("gate", "service", ["service"]), [("X-Subject-Token", "own-token")])
        subject = self.headers["X-Subject-Token"]
        with self.state.lock:
            self.state.asked[subject] = self.state.asked.get(subject, 0) + 1
        if subject not in self.state.tokens:
            return self.answer(404, {"error": {"code": 404, "message": "not found", "title": "Not Found"}})
        document = self.document(*self.state.tokens[subject], ["member", "reader"])
        if subject in self.state.held:
            self.state.held[subject].wait(10)
        return self.answer(200, document)

    @staticmethod
    def document(user: str, project: str, roles: list[str]) -> dict:
        return {"token": {
            "user": {"id": user, "name": user, "domain": {"id": "default", "name": "Default"}},
            "project": {"id": project, "name": project, "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": role, "name": role} for role in roles], "methods": ["password"],
            "expires_at": "2999-01-01T00:00:00.000000Z", "issued_at": "2020-01-01T00:00:00.000000Z"}}


class World:
    """Both stand-ins on one port."""

    def __init__(self):
        self.state = State()
        handler = type("Bound", (Handler,), {"state": self.state})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
