"""What senders may read of aiokafka's errors: the kind of trouble, never an address or the error itself."""

from __future__ import annotations

import random

import pytest

from ingest_gateway.kafka_publisher import KafkaConnection
from ingest_gateway.publishing import PublishUnavailableError
from threatlog.embedded.ports import free_port
from threatlog.process.server_settings import Kafka

pytestmark = pytest.mark.integration


async def test_a_kafka_that_is_not_there_is_told_without_its_address() -> None:
    port = free_port(random.Random())

    with pytest.raises(PublishUnavailableError) as refusal:
        await KafkaConnection.open(Kafka(bootstrap_servers=f"127.0.0.1:{port}"))

    assert refusal.value.detail == "Kafka cannot be reached"
    assert str(port) in repr(refusal.value.__cause__), "the log gets it"
