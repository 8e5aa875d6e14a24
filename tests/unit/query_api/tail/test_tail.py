"""What whoever tails is sent: every event once, from where they were, whatever Kafka does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from query_api.tail.ring import EventRing
from query_api.tail.session import KEEP_ALIVE_EVERY_S, POSITION_EVERY_S
from tests.fakes.memory_topic import MemoryTopic
from tests.unit.ingest_gateway.virtual_time import run_in_virtual_time
from tests.unit.query_api.tail.tail_bench import tailing, tails_of
from threatlog.access.caller import Caller
from threatlog.process.problems import Problem

VERSION_4 = "6f2f4bd4-0a53-4d22-8b5c-4a6f5b1d2c3e"
SAME = {"id": VERSION_4, "timestamp": "2026-11-24T09:59:59.5Z"}


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test with a clock that jumps."""

    def run() -> None:
        run_in_virtual_time(test())

    run.__name__ = test.__name__
    return run


@in_virtual_time
async def test_what_comes_is_sent_with_the_vector_behind_it() -> None:
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


@in_virtual_time
async def test_only_what_is_wanted_is_sent_and_the_position_moves_all_the_same() -> None:
    topic = MemoryTopic()
    async with tailing(tails_of(topic), "severity=HIGH&source=a&q=n>=2%20-word") as client:
        await client.until(lambda: bool(client.of_kind("position")))
        for number in range(4):
            topic.append(source="a", message=f"m{number}", attributes={"n": number})
        topic.append(source="b", attributes={"n": 3})
        topic.append(source="a", severity="LOW", attributes={"n": 3})
        topic.append(source="a", message="a word", attributes={"n": 3})
        topic.append_value(0, b"no event")
        await client.until(lambda: len(client.messages) == 2)
        await asyncio.sleep(POSITION_EVERY_S + 1)
    assert client.messages == ["m2", "m3"]
    assert client.of_kind("position")[-1].vector == {0: 8}


@in_virtual_time
async def test_silence_is_filled_so_that_nobody_takes_the_stream_for_dead() -> None:
    async with tailing(tails_of(MemoryTopic())) as client:
        await asyncio.sleep(3 * KEEP_ALIVE_EVERY_S + 5)
    assert [frame.kind for frame in client.frames] == ["position", *["comment"] * 3]


@pytest.mark.parametrize("by_header", [True, False])
def test_a_client_that_comes_back_gets_what_came_meanwhile(by_header: bool) -> None:
    async def main() -> None:
        topic, tails = MemoryTopic(2), None
        tails = tails_of(topic)
        async with tailing(tails) as client:
            await client.until(lambda: bool(client.of_kind("position")))
            topic.append(0, message="seen")
            await client.until(lambda: bool(client.messages))
        here = client.of_kind("log")[-1].id
        for number in range(250):
            topic.append(number % 2, message=f"meanwhile {number}")
        again = {"last_event_id": here} if by_header else {"query": f"after={here}"}
        async with tailing(tails, **again) as client:
            await client.until(lambda: len(client.messages) == 250)
            topic.append(1, message="now")
            await client.until(lambda: len(client.messages) == 251)
        assert sorted(client.messages[:250]) == sorted(f"meanwhile {number}" for number in range(250))
        assert client.messages[-1] == "now"
        assert client.of_kind("skipped") == []
        await client.until(lambda: topic.open_readers == 0)

    run_in_virtual_time(main())


@in_virtual_time
async def test_a_slow_reader_is_told_how_much_it_missed_and_holds_nobody_up() -> None:
    topic, ring = MemoryTopic(), EventRing(max_cost_bytes=300_000)
    tails = tails_of(topic, ring=ring)
    async with tailing(tails) as slow, tailing(tails) as quick:
        await slow.until(lambda: bool(slow.of_kind("position") and quick.of_kind("position")))
        slow.reading.clear()
        for number in range(2000):
            topic.append(message=f"{number}", timestamp=f"2026-11-24T09:{number // 60 % 60:02}:{number % 60:02}Z")
            if number % 50 == 0:
                await asyncio.sleep(0.1)
        await quick.until(lambda: len(quick.messages) == 2000)
        slow.reading.set()
        await slow.until(lambda: slow.messages[-1:] == ["1999"])
    assert quick.of_kind("skipped") == []
    told = slow.of_kind("skipped")
    assert len(slow.messages) + sum(frame.data["events"] for frame in told) == 2000
    (skipped,) = told
    assert skipped.data["reason"] == "slow_reader"
    missed = sorted({f"{number}" for number in range(2000)} - set(slow.messages), key=int)
    first, last = (f"2026-11-24T09:{int(n) // 60:02}:{int(n) % 60:02}" for n in (missed[0], missed[-1]))
    assert (skipped.data["start_time"], skipped.data["end_time"]) == (f"{first}Z", f"{last}.000001Z")
    # Who breaks off there has been told, and goes on behind it.
    assert skipped.vector == {0: int(missed[-1]) + 1}


@in_virtual_time
async def test_an_event_that_was_sent_twice_is_shown_once_also_after_coming_back() -> None:
    topic = MemoryTopic(2)
    tails = tails_of(topic)
    async with tailing(tails) as client:
        await client.until(lambda: bool(client.of_kind("position")))
        topic.append(1, message="first", **SAME)
        topic.append(0, message="other")
        await client.until(lambda: len(client.messages) == 2)
        topic.append(0, message="again", **SAME)
        topic.append(1, message="end")
        await client.until(lambda: "end" in client.messages)
    assert sorted(client.messages) == ["end", "first", "other"]
    for _ in range(300):
        topic.append(0, message="filling")
    topic.append(0, message="once more", **SAME)
    topic.append(0, message="last")
    async with tailing(tails, last_event_id=client.of_kind("log")[-1].id) as client:
        await client.until(lambda: "last" in client.messages)
    assert {*client.messages} == {"filling", "last"}


@in_virtual_time
async def test_trouble_is_told_once_and_so_is_its_end() -> None:
    topic = MemoryTopic()
    topic.trouble = "refused"
    async with tailing(tails_of(topic)) as client:
        await asyncio.sleep(8)
        topic.trouble = None
        await client.until(lambda: len(client.of_kind("trouble")) == 2)
        topic.frozen = True
        await asyncio.sleep(8)
        topic.frozen = False
        topic.append(message="after it")
        await client.until(lambda: bool(client.messages))
        topic.trouble = "broken"
        topic.changed()
        await asyncio.sleep(8)
        topic.append(message="meanwhile")
        topic.trouble = None
        await client.until(lambda: len(client.messages) == 2)
    assert [frame.data["detail"] for frame in client.of_kind("trouble")] == [
        *("refused", None),
        *("Kafka is silent", None),
        *("broken", None),
    ]
    assert client.messages == ["after it", "meanwhile"]


@in_virtual_time
async def test_what_kafka_no_longer_has_is_told() -> None:
    topic = MemoryTopic(2)
    for number in range(10):
        topic.append(0, message=f"{number}")
    topic.forget_before(0, 7)
    async with tailing(tails_of(topic), last_event_id="0:2") as client:
        await client.until(lambda: len(client.messages) == 3)
    (skipped,) = client.of_kind("skipped")
    assert (skipped.data["events"], skipped.data["reason"]) == (5, "retention")
    assert skipped.data["start_time"] == "0001-01-02T00:00:00Z"
    assert skipped.vector == {0: 7, 1: 0}
    assert client.messages == ["7", "8", "9"]


@in_virtual_time
async def test_a_topic_made_anew_or_grown_is_read_from_its_beginning() -> None:
    topic = MemoryTopic()
    for _ in range(5):
        topic.append(message="old")
    async with tailing(tails_of(topic)) as client:
        await client.until(lambda: bool(client.of_kind("position")))
        topic.grow()
        topic.append(1, message="grown")
        await client.until(lambda: client.messages == ["grown"])
        topic.make_anew()
        topic.append(0, message="new")
        await client.until(lambda: client.messages == ["grown", "new"])
        (skipped,) = client.of_kind("skipped")
        assert (skipped.data["events"], skipped.data["reason"]) == (None, "topic_made_anew")
        assert client.of_kind("log")[-1].vector == {0: 1, 1: 0}


@in_virtual_time
async def test_a_stream_ends_when_its_key_does_and_when_the_process_stops() -> None:
    refused: dict[str, tuple[str, str]] = {}
    tails = tails_of(MemoryTopic(), judge=lambda caller: refused.get(caller.key_id), most=2)
    async with (
        tailing(tails, caller=Caller("a", "a", frozenset())) as one,
        tailing(tails, caller=Caller("b", "b", frozenset())) as other,
    ):
        await one.until(lambda: bool(one.frames and other.frames))
        with pytest.raises(Problem) as caught:
            async with tailing(tails):
                pass
        assert (caught.value.status, caught.value.code) == (503, "too_many_tails")
        refused["a"] = ("revoked_key", "it was revoked")
        await one.until(lambda: one.ended)
        assert one.frames[-1].data == {"code": "revoked_key", "detail": "it was revoked"}
        assert not other.ended
        tails.stop()
        await other.until(lambda: other.ended)
        assert other.frames[-1].data["code"] == "stopping"


@in_virtual_time
async def test_a_client_that_takes_nothing_is_cut_off_when_its_key_ends() -> None:
    refused: list[tuple[str, str]] = []
    topic = MemoryTopic()
    tails = tails_of(topic, judge=lambda _: refused[0] if refused else None)
    async with tailing(tails) as client:
        await client.until(lambda: bool(client.of_kind("position")))
        client.reading.clear()
        topic.append()
        await asyncio.sleep(5)
        refused.append(("revoked_key", "it was revoked"))
        await client.until(lambda: topic.open_readers == 0)
        client.reading.set()
