"""A RabbitMQ of a test's own on 127.0.0.1: started, stopped, started again, and gone without a trace."""
import os
import pathlib
import shutil
import socket
import subprocess
import time

HOME = pathlib.Path("/usr/lib/rabbitmq/bin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Rabbit:
    """One node, whose queues and exchanges outlive a stop if they are durable."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.port, self.epmd = folder, free_port(), free_port()
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users.guest = true\n")
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "env.conf").write_text("")
        self.environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd),
            "RABBITMQ_NODENAME": f"gate-test-{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
        }
        self.process = None

    def start(self) -> None:
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen([HOME / "rabbitmq-server"], env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, start_new_session=True)
        deadline = time.monotonic() + 120
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "out").read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, "rabbitmq does not answer"
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def end(self) -> None:
        self.stop()
        epmd = shutil.which("epmd", path=os.environ["PATH"] + ":/usr/lib/erlang/bin")
        if epmd:
            subprocess.run([epmd, "-port", str(self.epmd), "-kill"], env=self.environment, capture_output=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return len(connection.recv(8)) > 0
        except OSError:
            return False
