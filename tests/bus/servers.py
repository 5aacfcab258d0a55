"""A Redis and a RabbitMQ of the tests' own: started, stopped, frozen and started again, on the same port."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time


def free_port() -> int:
    """Returns a port below those the kernel takes for outgoing connections: it can be taken again after a stop."""
    for port in range(21000 + os.getpid() % 9000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("no port is free")


_given: set[int] = set()


class Server:
    """A server process; it keeps its port when it is stopped and started again."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.port, self.process = folder, free_port(), None
        self.tls_port, self.authority = None, None

    def with_tls(self, authority: "Authority") -> "Server":
        """Lets it speak TLS, too, on a port of its own."""
        self.tls_port, self.authority = free_port(), authority
        return self

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> "Server":
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), env=self.environment(), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True)
        deadline = time.monotonic() + 240
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{self.command()[0]} does not start:\n"
                                     + (self.folder / "server.log").read_text()[-2000:])
            time.sleep(0.05)
        return self

    def answers(self) -> bool:
        raise NotImplementedError

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Lets it hold its connections and answer nobody, as a server behind a broken network does."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)


class Redis(Server):
    password = "planted-redis-password"

    def command(self) -> list[str]:
        tls = [] if not self.authority else [
            "--tls-port", str(self.tls_port), "--tls-cert-file", self.authority.certificate, "--tls-key-file",
            self.authority.key, "--tls-ca-cert-file", self.authority.root, "--tls-auth-clients", "no"]
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--requirepass", self.password, "--dir", str(self.folder), *tls]

    def command_line(self, line: str) -> bytes:
        """Sends one command, as the user who may do everything."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(f"AUTH {self.password}\r\n{line}\r\nQUIT\r\n".encode())
            return b"".join(iter(lambda: connection.recv(1000), b""))

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"AUTH %s\r\nPING\r\nQUIT\r\n" % self.password.encode())
                connection.settimeout(1)
                return b"PONG" in b"".join(iter(lambda: connection.recv(100), b""))
        except OSError:
            return False


class Rabbit(Server):
    def __init__(self, folder: pathlib.Path):
        super().__init__(folder)
        self.dist_port, self.epmd_port = free_port(), free_port()
        (folder / "plugins").write_text("[].\n")

    def with_tls(self, authority: "Authority") -> "Server":
        super().with_tls(authority)
        (self.folder / "tls.conf").write_text(
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\nssl_options.cacertfile = {authority.root}\n"
            f"ssl_options.certfile = {authority.certificate}\nssl_options.keyfile = {authority.key}\n")
        return self

    @property
    def url(self) -> str:
        return f"rabbit://guest:guest@127.0.0.1:{self.port}/"

    def command(self) -> list[str]:
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def environment(self) -> dict[str, str]:
        return dict(
            os.environ, HOME=str(self.folder), RABBITMQ_NODENAME="gate-tests@localhost",
            RABBITMQ_NODE_PORT=str(self.port), RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_DIST_PORT=str(self.dist_port), ERL_EPMD_PORT=str(self.epmd_port), ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_MNESIA_BASE=str(self.folder / "mnesia"), RABBITMQ_LOG_BASE=str(self.folder / "log"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "plugins"),
            RABBITMQ_CONF_ENV_FILE=str(self.folder / "none"), RABBITMQ_CONFIG_FILE=str(self.folder / "tls"))

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                connection.settimeout(2)
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def call(self, *arguments: str) -> str:
        """Runs rabbitmqctl."""
        done = subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *arguments], env=self.environment(),
                              capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def end(self) -> None:
        """Stops the server, and the daemon of Erlang's that it has started for itself."""
        self.stop()
        subprocess.run(["epmd", "-port", str(self.epmd_port), "-kill"], capture_output=True, timeout=20, check=False)


class Authority:
    """An authority and a certificate for 127.0.0.1, as files."""

    def __init__(self, folder: pathlib.Path):
        assert shutil.which("openssl"), "openssl is missing"
        self.root, self.certificate, self.key = (str(folder / name) for name in ("root.pem", "gate.pem", "gate.key"))
        root_key, request = str(folder / "root.key"), str(folder / "request.pem")
        names = folder / "names"
        names.write_text("subjectAltName = IP:127.0.0.1,DNS:localhost\n")
        new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for command in (
            [*new, "-x509", "-keyout", root_key, "-out", self.root, "-subj", "/CN=tests", "-days", "2"],
            [*new, "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1"],
            ["openssl", "x509", "-req", "-in", request, "-CA", self.root, "-CAkey", root_key, "-out", self.certificate,
             "-days", "2", "-extfile", str(names), "-CAcreateserial"],
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=60)
