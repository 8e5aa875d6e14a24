"""Apache Kafka in KRaft mode: a node that is broker and controller."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from threatlog.embedded.child import Launch, run_to_end
from threatlog.embedded.errors import ServerError
from threatlog.embedded.kafka_jars import java_program, kafka_jars
from threatlog.embedded.ports import LOOPBACK
from threatlog.embedded.probes import kafka_answers
from threatlog.embedded.server import Server

_FORMAT_TIMEOUT_S = 60.0

_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1}: %m%n
"""


# The first compiler alone starts twice as fast; the serial collector uses no second core.
_JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # What Kafka 4.4.0 does to unmap its indexes and to load zstd; Java 25 warns of both.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """One node, broker and controller, alone or in a cluster.

    `advertised_port` is the one that clients are told where that is another. `voters` are the controller ports of all
    nodes by their id; None for the only one of its cluster.
    """

    port: int
    controller_port: int
    advertised_port: int | None = None
    node_id: int = 1
    voters: Mapping[int, int] | None = None

    def rendered(self, log_folder: Path) -> str:
        """The text of server.properties."""
        return "".join(f"{name}={escaped(str(value))}\n" for name, value in self.values(str(log_folder)).items())

    def format_options(self) -> tuple[str, ...]:
        """What else the storage tool is told; for a node that has more than this."""
        return ()

    def values(self, log_folder: str) -> dict[str, object]:
        """Every property by its name."""
        voters = self.voters or {self.node_id: self.controller_port}
        replicas = len(voters)
        # A cluster of three goes on with two.
        in_sync = (replicas + 1) // 2
        return {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            "controller.quorum.voters": ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in voters.items()),
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.advertised_port or self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": log_folder,
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            # One consumer group needs one partition; the default of 50 makes the first start slower.
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            # After a crash a broker's new life waits until its old one's session has expired; the default is 9 s.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            # A replica that lags for this long no longer has to confirm; the default of 30 s holds senders up as long.
            "replica.lag.time.max.ms": 5000,
        }


def escaped(value: str) -> str:
    """A value as Java reads it from a file of properties: backslashes doubled, the rest beyond ASCII as \\uXXXX."""
    units = value.replace("\\", "\\\\").encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[place : place + 2]) for place in range(0, len(units), 2))
    return "".join(chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes)


class KafkaServer(Server):
    """One Kafka node with its data in `folder`; the same folder may be started again on other ports.

    All nodes of a cluster have the same `cluster_id`; a node alone makes one up.
    """

    def __init__(
        self, folder: Path, node: KafkaNode, *, log_path: Path | None = None, cluster_id: str | None = None
    ) -> None:
        super().__init__("kafka" if node.voters is None else f"kafka-{node.node_id}", node.port)
        self._cluster_id = cluster_id
        self._folder = folder.absolute()
        self._node = node
        self._log_path = log_path or self._folder / "kafka.log"
        self._data = self._folder / "data"
        self._properties = self._folder / "server.properties"
        self._jars: tuple[Path, ...] = ()

    def prepare(self) -> None:
        """Finds the jars, and formats the data folder once.

        It is formatted under another name and renamed when whole, so a killed run leaves nothing half-made in use.
        Raises ServerError.
        """
        if "," in str(self._data):
            # log.dirs is a list, and its commas cannot be escaped.
            raise ServerError(f"Kafka takes no folder with a comma in its path ({self._data}); choose another DATA_DIR")
        self._jars = self._jars or kafka_jars()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        if self._data.exists():
            if not (self._data / "meta.properties").is_file():
                raise ServerError(
                    f"{self._data} is not a whole Kafka data folder (no meta.properties in it); "
                    "remove it, or choose another DATA_DIR"
                )
            return
        unfinished = self._folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        self._format(unfinished)
        unfinished.rename(self._data)

    def _format(self, folder: Path) -> None:
        properties = self._folder / "format.properties"
        properties.write_text(self._node.rendered(folder), encoding="utf-8")
        tool = ["kafka.tools.StorageTool", "format", "-t", self._cluster_id or new_cluster_id(), "-c", str(properties)]
        tool += self._node.format_options()
        code, output = run_to_end([*self._java(), *tool], _FORMAT_TIMEOUT_S, environment=_environment())
        properties.unlink()
        if code != 0:
            raise ServerError(f"kafka: the data folder {folder} cannot be formatted:\n{output}")

    def _ports(self) -> tuple[tuple[int, str], ...]:
        return (*super()._ports(), (self._node.controller_port, "the controller's port"))

    def _launch(self) -> Launch:
        self._properties.write_text(self._node.rendered(self._data), encoding="utf-8")
        command = (*self._java(), "kafka.Kafka", str(self._properties))
        return Launch(command, self._log_path, environment=_environment(), folder=self._folder)

    def _java(self) -> tuple[str, ...]:
        return (
            java_program(),
            *_JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            "-cp",
            os.pathsep.join(map(str, self._jars)),
        )

    def answers(self) -> bool:
        """Whether it lists a live broker."""
        return kafka_answers(self.port)


def _environment() -> dict[str, str]:
    """Java 25 reads paths in the encoding of the locale; in that of C, ASCII, it cannot name others."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def new_cluster_id() -> str:
    """A random cluster id: 16 bytes in URL-safe base64, not beginning with a dash, as Kafka's own tool makes them."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
