"""The aiokafka 0.14.0 consumer under Faust's: its seeks and its way out of the group. The only file that imports it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.client import ConnectionGroup

_GIVE_UP_WITHIN_S: Final = 1.0


async def give_up_joining(consumer: Any) -> None:
    """Ends what an AIOKafkaConsumer's `stop` would wait for without bound, before it says goodbye to the group.

    That is the answer to JoinGroup, which Kafka holds back until every member has joined or expired (10 s for one that
    was killed), or a rebalance callback into Faust's main loop, which takes none any more. Kafka answers the requests
    of one connection in turn, so while one of them waits the goodbye needs a new connection.
    """
    coordinator, connections = consumer._coordinator, consumer._client._conns
    coordination = getattr(coordinator, "_coordination_task", None)
    if coordination is None or coordination.done():
        return
    coordination.cancel()
    await asyncio.wait({coordination}, timeout=_GIVE_UP_WITHIN_S)
    connection = connections.get((coordinator.coordinator_id, ConnectionGroup.COORDINATION))
    if connection is not None and connection._requests:
        connection.close()


def consumer_under(faust_consumer: Any) -> Any:
    """The aiokafka consumer that Faust's consumer drives; None before it is made."""
    return getattr(getattr(faust_consumer, "_thread", None), "_consumer", None)


async def seek_if_assigned(consumer: Any, partition: Any, offset: int) -> None:
    """Reads on from `offset`; nothing for a partition that is not ours any more. For the consumer's own thread."""
    if partition in consumer.assignment():
        consumer.seek(partition, offset)
