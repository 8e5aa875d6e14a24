"""What whoever tails is sent: every event once, from where they were, whatever Kafka does meanwhile."""

from __future__ import annotations

from tests.fakes.memory_topic import MemoryTopic
from tests.unit.ingest_gateway.virtual_time import run_in_virtual_time
from tests.unit.query_api.tail.tail_bench import tailing, tails_of


def test_what_comes_is_sent_with_the_vector_behind_it() -> None:
    async def main() -> None:
        topic = MemoryTopic(2)
        topic.append(0, message="before")
        async with tailing(tails_of(topic)) as client:
            await client.until(lambda: bool(client.of_kind("position")))
            topic.append(1, message="first")
            await client.until(lambda: len(client.messages) == 1)
            topic.append(0, message="second")
            await client.until(lambda: len(client.messages) == 2)
        assert client.of_kind("position")[0].vector == {0: 1, 1: 0}
        assert client.messages == ["first", "second"]
        assert [frame.vector for frame in client.of_kind("log")] == [{0: 1, 1: 1}, {0: 2, 1: 1}]
        await client.until(lambda: topic.open_readers == 0)

    run_in_virtual_time(main())
