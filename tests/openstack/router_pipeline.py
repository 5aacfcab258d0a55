"""Glance's own pipeline in this process: which requests would it run as an update of an image member?

Everything up to the controllers is Glance's: the paste file it ships, CORS, version negotiation, paste's
urlmap, Routes, the deserializers. Only two things are replaced: `authtoken` by a filter that confirms an
identity, and the controllers by a recorder.
"""
import dataclasses
import io
import pathlib
import re
import sys
import urllib.parse
import warnings

IDENTITY = {
    "HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_USER_ID": "u" * 32, "HTTP_X_PROJECT_ID": "p" * 32,
    "HTTP_X_ROLES": "member,reader,admin", "HTTP_X_DOMAIN_ID": None,
}


@dataclasses.dataclass(frozen=True)
class Raw:
    """A request as its bytes say, read as leniently as servers do."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, head: bytes, body: bytes) -> "Raw":
        """Returns the request of a head and the decoded body; bytes are kept as Latin-1."""
        first, *lines = head.decode("latin-1").replace("\r\n", "\n").lstrip("\n").split("\n")
        method, _, rest = first.partition(" ")
        target = rest.strip(" ").rpartition(" HTTP/")[0] or rest
        fields = (line.partition(":") for line in lines)
        headers = tuple((name, value.strip(" \t")) for name, colon, value in fields if colon)
        return cls(method, target.strip(" "), headers, body)


# --- from target to PATH_INFO, by what stands between the gate and Glance --------------------------------
def _hexadecimal(digits: str) -> str:
    """As `hex2num` of uWSGI: what is no number is a NUL."""
    return chr(int(digits, 16)) if re.fullmatch("[0-9A-Fa-f]{2}", digits) else "\0"


def uwsgi(target: str) -> tuple[str, str]:
    """As `http_url_decode` of uWSGI 2.0.31 (core/utils.c), state by state: dot segments go only if they are plain."""
    raw, _, query = target.partition("?")
    path, state, digit = "", "zero" if raw[:1] in ("/", "") else "slash", ""
    raw = raw.partition("#")[0]
    for at, char in enumerate(raw):
        if state == "percent" and (char != "%" or digit):
            path, digit = (path + _hexadecimal(digit + char), "") if digit else (path, char)
            state = "percent" if digit else "zero"
            continue
        if state == "dot dot" and char == "/":
            path, state = path[:max(path.rfind("/"), 0)], "slash"
            continue
        following = {("slash", "."): "dot", ("dot", "."): "dot dot", ("dot", "/"): "slash", ("zero", "/"): "slash"}
        if (state, char) in following:
            state = following[state, char]
            continue
        before = {"zero": "", "percent": "", "slash": "", "dot": ".", "dot dot": ".."}[state]
        if state in ("slash", "dot", "dot dot") and (at > len(before) or raw.startswith("/")):
            before = "/" + before
        path += before
        if char == "%" and state != "percent":
            state = "percent"
        elif state != "slash" or char != "/":
            path, state = path + char, "zero"
    if state in ("slash", "dot"):
        path += "/"
    elif state == "dot dot":
        path = path[:path.rfind("/") + 1]
    return path, query


def plain(target: str) -> tuple[str, str]:
    """As gunicorn and Werkzeug: decoded once, nothing else; a scheme and a host are taken off."""
    target = re.sub("^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", target).partition("#")[0]
    raw, _, query = target.partition("?")
    return urllib.parse.unquote_to_bytes(raw.encode("latin-1")).decode("latin-1"), query


def normalized(target: str) -> tuple[str, str]:
    """As Apache or nginx before a WSGI server: decoded, slashes collapsed, dot segments resolved."""
    path, query = plain(target)
    kept = []
    for segment in path.replace("\\", "/").split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept), query


def mounted(target: str) -> tuple[str, str]:
    """As `normalized`, for a Glance that is served under /image."""
    path, query = normalized(target)
    return re.sub("^/image(?=/|$)", "", path), query


FRONTS = (uwsgi, plain, normalized, mounted)


def environment(raw: Raw, front) -> dict:
    """Returns the environ as uWSGI builds it: names folded, repeated headers joined."""
    path, query = front(raw.target)
    environ = {
        "REQUEST_METHOD": raw.method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
        "REQUEST_URI": raw.target, "SERVER_NAME": "glance", "SERVER_PORT": "9292", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(raw.body), "wsgi.input_terminated": True, "wsgi.multithread": False,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
    }
    for name, value in raw.headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
        environ[key] = f"{environ[key]}, {value}" if key in environ else value
    # more than a server without chunks would see: whatever body there is can be read
    environ["CONTENT_LENGTH"] = str(len(raw.body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ


# --- the pipeline ------------------------------------------------------------------------------------------

def confirmed(_global_conf, **_local_conf):
    """A paste filter in the place of `authtoken`."""
    def around(app):
        def confirm(environ, start_response):
            environ.update({key: value for key, value in IDENTITY.items() if value})
            return app(environ, start_response)
        return confirm
    return around


class Pipeline:
    """Glance 33, most permissive configuration: every minor version is enabled, proxy headers are believed."""

    def __init__(self, folder: pathlib.Path, monkeypatch):
        warnings.simplefilter("ignore")
        from glance.api.v2 import image_members
        from glance.common import config, wsgi, wsgi_app  # noqa: F401: wsgi_app registers options
        import glance.async_
        from oslo_config import cfg
        from paste import deploy

        shipped = pathlib.Path(sys.prefix, "etc/glance/glance-api-paste.ini").read_text()
        ini = folder / "glance-api-paste.ini"
        ini.write_text(shipped.replace("keystonemiddleware.auth_token:filter_factory", "router_pipeline:confirmed"))
        assert "router_pipeline:confirmed" in ini.read_text()
        conf = folder / "glance-api.conf"
        conf.write_text(
            "[DEFAULT]\nenabled_backends = disk:file\ntransport_url = fake://\n"
            "worker_self_reference_url = http://127.0.0.1\n"
            "[paste_deploy]\nflavor = keystone\n"
            "[oslo_middleware]\nenable_proxy_headers_parsing = true\n"
            "[oslo_messaging_notifications]\ndriver = noop\n"
            f"[database]\nconnection = sqlite:///{folder}/glance.sqlite\n")
        config.set_config_defaults()
        cfg.CONF([], project="glance", prog="glance-api", default_config_files=[str(conf)])
        glance.async_.set_threadpool_model("native")
        self._members = (image_members.RequestDeserializer, image_members.ImageMembersController)
        self._ran = []
        monkeypatch.setattr(wsgi.Resource, "dispatch", self._dispatch())
        self._app = deploy.loadapp(f"config:{ini}", name="glance-api-keystone")
        # only now: with a cache folder the controllers want a database, but it also enables versions
        cfg.CONF.set_override("image_cache_dir", str(folder))

    def _dispatch(self):
        import webob.exc

        deserializer, controller = self._members

        def dispatch(_resource, target, action, *args, **kwargs):
            if action == "update" and isinstance(target, deserializer):
                self._ran.append("routed")
                return target.update(*args, **kwargs)
            if action == "update" and isinstance(target, controller):
                self._ran.append("update")
            else:
                self._ran.append("other")
            raise webob.exc.HTTPNoContent()
        return dispatch

    def run(self, raw: Raw, front) -> str:
        """Returns how far Glance gets: `update`, `routed` (an update with a body Glance refuses), `other` or `none`."""
        self._ran.clear()
        try:
            for _ in self._app(environment(raw, front), lambda *_: None):
                pass
        except (UnicodeError, ValueError, AssertionError, LookupError, AttributeError):
            pass  # servers answer 500 to what webob and Routes stumble over
        return next((reached for reached in ("update", "routed", "other") if reached in self._ran), "none")

    def furthest(self, raw: Raw) -> tuple[str, str]:
        """Returns how far Glance gets behind the server that lets it get furthest, and that server's name."""
        reached = {front.__name__: self.run(raw, front) for front in FRONTS}
        for wanted in ("update", "routed", "other"):
            for name, found in reached.items():
                if found == wanted:
                    return found, name
        return "none", ""
