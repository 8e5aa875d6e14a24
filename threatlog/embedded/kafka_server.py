"""Apache Kafka in KRaft mode: one node that is broker and controller, with its values open for more nodes."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """One node's place in its cluster. `voters` are node id and controller port of all nodes, itself included."""

    port: int
    controller_port: int
    node_id: int = 1
    replication: int = 1
    min_insync_replicas: int = 1
    cluster_id: str = ""
    voters: tuple[tuple[int, int], ...] = ()
    heap_mib: int = 512
    # The first compiler alone starts twice as fast; the serial collector uses no second core.
    java_options: tuple[str, ...] = (
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        # What Kafka 4.4.0 does to unmap its indexes and to load zstd; Java 25 warns of both.
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
    )
    properties: dict[str, str] = field(default_factory=dict)

    def rendered(self, log_folder: Path) -> str:
        """The text of server.properties."""
        return "".join(f"{name}={value}\n" for name, value in self.values(str(log_folder)).items())

    def values(self, log_folder: str) -> dict[str, object]:
        """Every property by its name."""
        voters = self.voters or ((self.node_id, self.controller_port),)
        listener = f"PLAINTEXT://{LOOPBACK}:{self.port}"
        return {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            "controller.quorum.voters": ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in voters),
            "listeners": f"{listener},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": listener,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": log_folder,
            "auto.create.topics.enable": "false",
            "default.replication.factor": self.replication,
            "min.insync.replicas": self.min_insync_replicas,
            "offsets.topic.replication.factor": self.replication,
            "transaction.state.log.replication.factor": self.replication,
            "transaction.state.log.min.isr": self.min_insync_replicas,
            "share.coordinator.state.topic.replication.factor": self.replication,
            "share.coordinator.state.topic.min.isr": self.min_insync_replicas,
            # One consumer group needs one partition; the default of 50 makes the first start slower.
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            # After a crash a broker's new life waits until its old one's session has expired; the default is 9 s.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            **self.properties,
        }


class KafkaServer(Server):
    """One Kafka node with its data in `folder`; the same folder may be started again on other ports."""

    def __init__(self, folder: Path, node: KafkaNode, *, log_path: Path | None = None) -> None:
        super().__init__("kafka", node.port)
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
        cluster_id = self._node.cluster_id or new_cluster_id()
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties))
        code, output = run_to_end([*self._java(), *tool], _FORMAT_TIMEOUT_S)
        properties.unlink()
        if code != 0:
            raise ServerError(f"kafka: the data folder {folder} cannot be formatted:\n{output}")

    def _ports(self) -> tuple[tuple[int, str], ...]:
        return (*super()._ports(), (self._node.controller_port, "the controller's port"))

    def _launch(self) -> Launch:
        self._properties.write_text(self._node.rendered(self._data), encoding="utf-8")
        return Launch((*self._java(), "kafka.Kafka", str(self._properties)), self._log_path, folder=self._folder)

    def _java(self) -> tuple[str, ...]:
        return (
            java_program(),
            f"-Xmx{self._node.heap_mib}m",
            *self._node.java_options,
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            "-cp",
            os.pathsep.join(map(str, self._jars)),
        )

    def answers(self) -> bool:
        """Whether it lists a live broker."""
        return kafka_answers(self.port)


def new_cluster_id() -> str:
    """A random cluster id: 16 bytes in URL-safe base64, not beginning with a dash, as Kafka's own tool makes them."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
