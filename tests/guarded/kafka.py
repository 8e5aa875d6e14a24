"""A Kafka with a listener that wants TLS, a client's certificate and a user, beside the plain one of the tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.guarded.certificates import HOST, Certificates
from threatlog.embedded.kafka_server import KafkaNode

USER = "threatlog"
PASSWORD = "kafka-pass-71"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_LISTENER = "listener.name.sasl_ssl"
_MODULES = "org.apache.kafka.common.security"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedNode(KafkaNode):
    """The node, and its listener for those who have a certificate and a password."""

    guarded_port: int
    keystore: Path
    ca: Path

    def values(self, log_folder: str) -> dict[str, object]:
        """Every property by its name."""
        values = KafkaNode.values(self, log_folder)
        listener = f"SASL_SSL://{HOST}:{self.guarded_port}"
        jaas = {
            f"{_LISTENER}.{mechanism.lower()}.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;"
            for mechanism in MECHANISMS[1:]
        }
        plain = f'{_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        return {
            **values,
            **jaas,
            f"{_LISTENER}.plain.sasl.jaas.config": plain,
            "listeners": f"{values['listeners']},{listener}",
            "advertised.listeners": f"{values['advertised.listeners']},{listener}",
            "listener.security.protocol.map": f"{values['listener.security.protocol.map']},SASL_SSL:SASL_SSL",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.keystore,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca,
            # Kafka asks for none with SASL unless told so for the listener.
            f"{_LISTENER}.ssl.client.auth": "required",
        }

    def format_options(self) -> tuple[str, ...]:
        """The passwords, which a cluster has from its beginning."""
        login = f"[name={USER},password={PASSWORD}]"
        return tuple(word for name in MECHANISMS[1:] for word in ("--add-scram", f"{name}={login}"))


def guarded_node(certificates: Certificates, folder: Path, ports: tuple[int, int, int]) -> GuardedNode:
    """The node on its three ports: plain, of the controller, guarded."""
    keystore = folder / "kafka-server.pem"
    shown = certificates.server
    keystore.write_bytes(shown.key.read_bytes() + shown.certificate.read_bytes())
    return GuardedNode(ports[0], ports[1], guarded_port=ports[2], keystore=keystore, ca=certificates.ca)
