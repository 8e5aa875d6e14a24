"""Apache Kafka as several nodes on one machine, each broker and controller, so that one of them may fail."""

from __future__ import annotations

import random
from pathlib import Path

from threatlog.embedded.kafka_server import KafkaNode, KafkaServer, new_cluster_id
from threatlog.embedded.ports import LOOPBACK, free_port

NODES = 3


class KafkaCluster:
    """Three nodes with replication 3, of which two must have a record before it counts.

    It can be used in the place of one server; then a fault strikes all three.
    """

    name = "kafka"

    def __init__(self, folder: Path, rng: random.Random) -> None:
        ports: list[int] = []
        while len(ports) < 2 * NODES:
            ports.append(free_port(rng, avoid=ports))
        voters = {node: ports[NODES + node - 1] for node in range(1, NODES + 1)}
        cluster_id = new_cluster_id()
        self.nodes = {
            node: KafkaServer(
                folder / f"node-{node}",
                KafkaNode(ports[node - 1], voters[node], node_id=node, voters=voters),
                cluster_id=cluster_id,
            )
            for node in voters
        }
        self.port = ports[0]

    @property
    def bootstrap_servers(self) -> str:
        """Every node's address."""
        return ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes.values())

    @property
    def running(self) -> bool:
        """Whether every node lives."""
        return all(node.running for node in self.nodes.values())

    def start(self) -> None:
        """Starts those that do not run. Raises ServerError."""
        for node in self.nodes.values():
            node.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Returns when every node answers. Raises ServerError."""
        for node in self.nodes.values():
            node.wait_ready(timeout_s)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Shuts all down, together: one after the other would wait for those that are gone."""
        for node in self.nodes.values():
            node.request_stop()
        for node in self.nodes.values():
            node.stop(timeout_s)

    def freeze(self) -> None:
        """Stops all in their tracks."""
        for node in self.nodes.values():
            node.freeze()

    def thaw(self) -> None:
        """Lets all go on."""
        for node in self.nodes.values():
            node.thaw()

    def kill(self) -> None:
        """Ends all at once."""
        for node in self.nodes.values():
            node.kill()
