"""What Faust is told of Kafka: where it is, its limits, and which of Faust's own habits are turned off."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threatlog.process.settings import Settings


def faust_options(settings: Settings, client_id: str) -> dict[str, Any]:
    """The options of a Faust application. Each value is explained where it is not a plain limit."""
    return {
        "broker": [f"kafka://{server.strip()}" for server in settings.kafka.bootstrap_servers.split(",")],
        "broker_client_id": client_id,
        "datadir": tempfile.gettempdir(),
        "web_enabled": False,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "table_standby_replicas": 0,
        # When it expires, aiokafka leaves the group and never comes back: a silent, permanent stop.
        "broker_max_poll_interval": 86_400.0 * 7,
        "broker_max_poll_records": settings.ingestion.batch_size,
        "broker_session_timeout": 10.0,
        "broker_request_timeout": 40.0,
        "broker_rebalance_timeout": 30.0,
        "broker_commit_interval": 1.0,
        "consumer_max_fetch_size": 1 << 20,
        # How soon a new leader is known while a fetch still waits for a broker that is frozen.
        "consumer_metadata_max_age_ms": 5_000,
        "producer_request_timeout": 15.0,
        # In chunks. The cap on events is `buffer_size`; above this one Faust would sleep whole seconds.
        "stream_buffer_maxsize": 4096,
        # Unacknowledged chunks are redelivered and fenced; waiting for them would hang a stop for ever.
        "stream_wait_empty": False,
    }
