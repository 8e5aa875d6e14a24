"""How the kafka target lets us in: TLS, a user, or neither."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Final

SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaLogin:
    """Files are paths of PEM files, or empty: then the system's authorities are trusted, and we show no certificate."""

    security_protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""

    def keywords(self) -> dict[str, Any]:
        """For aiokafka's clients. Raises ValueError for files that cannot be used, or a user that is missing."""
        keywords: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.security_protocol.endswith("SSL"):
            keywords["ssl_context"] = self._context()
        elif self.ca or self.certificate:
            raise ValueError(f"{self.security_protocol} encrypts nothing, so a certificate has no use")
        if self.security_protocol.startswith("SASL"):
            if not (self.username and self.password):
                raise ValueError(f"{self.security_protocol} needs a user and a password")
            keywords["sasl_mechanism"] = self.mechanism
            keywords["sasl_plain_username"] = self.username
            keywords["sasl_plain_password"] = self.password
        return keywords

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.certificate:
                # Without an answer of ours OpenSSL would ask for a passphrase on the terminal.
                context.load_cert_chain(self.certificate, self.key or None, lambda: "")
        except (OSError, ValueError) as error:
            raise ValueError(f"the files for TLS cannot be used: {error}") from None
        return context
