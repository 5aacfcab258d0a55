"""A Redis and a RabbitMQ of the tests' own: started, stopped, frozen and started again, on the same port."""
import os
import pathlib
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

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> "Server":
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), env=self.environment(), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True)
        deadline = time.monotonic() + 60
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
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--requirepass", self.password, "--dir", str(self.folder)]

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
            RABBITMQ_CONF_ENV_FILE=str(self.folder / "none"), RABBITMQ_CONFIG_FILE=str(self.folder / "none"))

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
