"""How any connection to Kafka is made, as the keywords of aiokafka's clients, and why one could not be."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from threatlog.process.server_settings import Kafka
from threatlog.process.tls import context_of

# aiokafka 0.14 says why a server cannot be used only here; the error that it raises names the servers it tried.
_CLIENT_LOG: Final = logging.getLogger("aiokafka")
# So begin the errors that a broker answered with.
_ANSWERED: Final = "[Error"
_ON_CLOSED: Final = "does the server want another, or a certificate of ours?"


def uses_tls(kafka: Kafka) -> bool:
    """Whether connections are encrypted and the server's certificate is checked."""
    return kafka.security_protocol.endswith("SSL")


def uses_sasl(kafka: Kafka) -> bool:
    """Whether a user name and password are sent."""
    return kafka.security_protocol.startswith("SASL")


def connect_keywords(kafka: Kafka) -> dict[str, Any]:
    """Where, as whom, and over what. Raises TlsFileError."""
    keywords: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
    }
    if uses_tls(kafka):
        keywords["ssl_context"] = context_of(kafka)
    if uses_sasl(kafka):
        keywords["sasl_mechanism"] = kafka.sasl_mechanism
        keywords["sasl_plain_username"] = kafka.username
        keywords["sasl_plain_password"] = kafka.password.get_secret_value()
    return keywords


class ConnectFaults(logging.Filter):
    """Keeps what aiokafka last wrote down as the reason; lets every line pass."""

    def __init__(self, kafka: Kafka) -> None:
        super().__init__()
        self._kafka = kafka
        self._last: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Sees one line of aiokafka's client; its last argument is the error."""
        arguments = record.args
        if isinstance(arguments, tuple) and arguments and isinstance(arguments[-1], Exception):
            self._last = arguments[-1]
        return True

    def reason(self, error: BaseException) -> str:
        """Why, in words: what was written down, unless `error` is a broker's answer, which says it itself."""
        cause = error if str(error).startswith(_ANSWERED) else self._last or error
        words = str(cause)
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if not words.startswith((_ANSWERED, type(cause).__name__)):
            # aiokafka's own begin with their name.
            words = f"{type(cause).__name__}: {words}"
        if isinstance(cause, ConnectionResetError) or words.endswith("closed"):
            # All that a server says to who speaks plainly where it wants TLS, or the other way round.
            words += f" (kafka.security_protocol is {self._kafka.security_protocol}; {_ON_CLOSED})"
        return words


@contextmanager
def noting_connect_faults(kafka: Kafka) -> Iterator[ConnectFaults]:
    """Listens to aiokafka while a connection is tried."""
    faults = ConnectFaults(kafka)
    _CLIENT_LOG.addFilter(faults)
    try:
        yield faults
    finally:
        _CLIENT_LOG.removeFilter(faults)
