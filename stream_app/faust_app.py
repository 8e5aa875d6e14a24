"""Faust, fed by whole fetches: the transport, the settings and the one agent. The only file that imports faust.

Stock Faust spends 54-67 us of CPU on each record (four tasks, two locks, an Event and a Message object). Nothing in it
needs the unit to be one record: it tracks a partition, an offset and an acknowledgement. So this consumer hands it one
message for each (partition, fetch), a Chunk. The quirks below were seen in faust-streaming 0.15.3 and aiokafka 0.14.0.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import faust
from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from stream_app.aiokafka_group import (
    give_up_joining,
    kafka_may_be_away,
    read_whole_batches,
    seek_if_assigned,
    set_beyond_faust,
)
from stream_app.chunks import BufferedEvents, Chunk, Deliveries, NothingRead
from stream_app.consumer_view import consumer_under, view_of
from stream_app.faust_options import faust_options
from stream_app.reading import Reading
from threatlog.process.kafka_connection import connect_keywords

if TYPE_CHECKING:
    from stream_app.upkeep import Upkeep
    from threatlog.process.server_settings import Kafka
    from threatlog.process.settings import Settings

_POSITIONS_TIMEOUT_S: Final = 20.0


class ChunkConsumer(driver.Consumer):
    """Hands over chunks, and starts each partition where the store says."""

    app: Any  # a StreamApp; Faust types it as its own protocol

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NothingRead()
        self.reading = Reading()
        # Partitions that were sought while a fetch was under way.
        self._sought: set[TP] = set()
        self._seeks_under_way: Counter[TP] = Counter()
        self.settled = False  # from the begin of a rebalance until each partition was sought to where it starts
        self._rebalance_steps = 0  # Each begin and each end of a rebalance is one: odd while one is under way.

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[Chunk]]:
        app = self.app
        if app.buffered.count >= app.buffer_size or app.buffered.bytes >= app.buffered.max_bytes:
            # Enough is fetched and not stored; asking again soon costs nothing, blocking here would block a rebalance.
            await asyncio.sleep(0.01)
            return {}
        self._sought = set(+self._seeks_under_way)
        settled, steps = self.settled, self._rebalance_steps
        fetched = await super()._getmany(active_partitions, timeout)
        unclear: set[TP] = set()
        # Whether these were read before the seek or after it cannot be told, and offsets between would pass for a hole
        # in the log: they are read again. More may be sought while one is.
        while more := self.reading.known((self._sought & fetched.keys()) - unclear):
            tp, offset = more.popitem()
            unclear.add(tp)
            await self.seek_to(tp, offset)
        if not (settled and self.settled and steps == self._rebalance_steps):
            # Read during a rebalance, from where the group says: that does not follow on what was read before it.
            self.reading.forget(fetched.keys() - unclear)
        else:
            self.reading.note_passed(view_of(self), fetched, self._sought)
        return {
            tp: self.reading.chunks(tp, records, app.buffered, app.deliveries)
            for tp, records in fetched.items()
            if records and tp not in unclear
        }

    def _to_message(self, tp: TP, chunk: Any) -> ConsumerMessage:
        # Time, its type, headers, key, value, checksum, sizes of key and value.
        rest: tuple[Any, ...] = (chunk.timestamp / 1000, 0, [], None, chunk, None, 0, 0, tp)
        message = ConsumerMessage(chunk.topic, chunk.partition, chunk.offset, *rest)
        message.generation_id = self.app.consumer_generation_id
        return message

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets are not dense (one for each chunk): no gaps to fill.

        The stock method would also mark the offset just read as committable before it is acknowledged.
        """

    def _new_offset(self, tp: TP) -> int | None:
        """Next offset to commit. Chunks of a partition are acknowledged in order, so the highest one is it."""
        acked = self._acked[tp]
        if not acked:
            return None
        last: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """A rebalance begins."""
        self._note_rebalance(begins=True)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """A rebalance has ended; a standby gets no partitions, and that is well."""
        # Before Faust's part, which calls `perform_seek` without waiting for the end of this.
        self._note_rebalance(begins=False)
        await super().on_partitions_assigned(assigned, generation_id)
        self.app.in_group = True

    def _note_rebalance(self, *, begins: bool) -> None:
        self.settled = self.app.in_group = False
        self.reading.passed.clear()
        self._rebalance_steps = (self._rebalance_steps | 1) + (not begins)

    async def perform_seek(self) -> None:
        """After an assignment starts where the store says, not where the group says.

        PostgreSQL holds the true positions; the committed ones are what lag monitors read. While PostgreSQL is away the
        group's serve: the next window, or upkeep where no record comes, asks for the true ones and seeks there.

        Faust calls this beside the rebalances, also while one is under way; the end of each calls it once more. What
        was found when one began or ended meanwhile is of another assignment.
        """
        if (steps := self._rebalance_steps) % 2:
            return
        assigned = list(self.assignment())

        async def ends() -> dict[int, int]:
            return {tp.partition: offset for tp, offset in (await self.highwaters(*assigned)).items()}

        try:
            # Below `broker_request_timeout`, at which Faust goes on without the positions.
            async with asyncio.timeout(_POSITIONS_TIMEOUT_S):
                beginnings = {tp.partition: offset for tp, offset in (await self.earliest_offsets(*assigned)).items()}
                stored = await self.app.deliveries.start_positions(beginnings, ends)
        except TimeoutError:
            self.reading.forget()
            await super().perform_seek()
        else:
            for tp in assigned if steps == self._rebalance_steps else ():
                await self.seek_to(tp, stored[tp.partition])
                self._committed_offset[tp] = stored[tp.partition] or None
        self.settled = steps == self._rebalance_steps

    async def seek_to(self, tp: TP, offset: int) -> None:
        """Reads on from `offset`, also backwards."""
        self.reading.sought(tp, offset)
        self._sought.add(tp)
        self._seeks_under_way[tp] += 1
        try:
            await self.seek(tp, offset)
        finally:
            self._seeks_under_way[tp] -= 1

    async def _seek(self, partition: TP, offset: int) -> None:
        """In the consumer's thread. Faust would seek from the main one, also in the middle of a fetch, which failed."""
        await self._thread.call_thread(seek_if_assigned, consumer_under(self), partition, offset)


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    app: Any  # a StreamApp

    async def on_start(self) -> None:
        """Connects; from then on it reads whole batches."""
        await super().on_start()
        read_whole_batches(self._consumer, self.app.buffered)

    async def on_thread_stop(self) -> None:
        """Leaves the group at once, also in the middle of a rebalance."""
        if self._consumer is not None:
            await give_up_joining(self._consumer)
        await super().on_thread_stop()

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        set_beyond_faust(consumer)
        return consumer


class ChunkTransport(driver.Transport):
    """The transport that uses ChunkConsumer."""

    Consumer = ChunkConsumer


class ChunkSchema(faust.Schema[Any, Any]):
    """No codec: the value of a message is the chunk. A codec's error would stop the stream silently."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Event]]:
        """A decoder that passes the chunk through."""

        async def decode(message: Any, **_: Any) -> Event:
            return Event(app, None, message.value, {}, message)

        return decode


class StreamApp(faust.App):
    """The Faust application, and what the chunk consumer needs of it."""

    deliveries: Deliveries
    upkeep: Upkeep
    on_stopping: Callable[[], None]
    buffered: BufferedEvents
    buffer_size: int
    in_group: bool = False

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Upkeep runs from the start, also while no partition is assigned."""
        self.upkeep.start()
        await super().on_first_start()

    async def on_stop(self) -> None:
        """The window under way is stored and acknowledged before Faust commits and leaves the group."""
        self.on_stopping()
        await self.deliveries.drain()
        await self.upkeep.stop()
        await super().on_stop()


def _credentials(kafka: Kafka) -> Any:
    """The login in Faust's words; a context alone means TLS without a user."""
    login = connect_keywords(kafka)
    context = login.get("ssl_context")
    if "sasl_mechanism" not in login:
        return context
    return faust.SASLCredentials(
        username=login["sasl_plain_username"],
        password=login["sasl_plain_password"],
        mechanism=login["sasl_mechanism"],
        ssl_context=context,
    )


def build_app(settings: Settings, deliveries: Deliveries, buffered: BufferedEvents, client_id: str) -> StreamApp:
    """The application with its one agent."""
    kafka = settings.kafka
    app = StreamApp(kafka.consumer_group, broker_credentials=_credentials(kafka), **faust_options(settings, client_id))
    app.deliveries = deliveries
    app.buffered = buffered
    app.buffer_size = settings.ingestion.buffer_size
    topic = app.topic(kafka.topic, schema=ChunkSchema(), key_type=bytes, value_type=bytes)

    @app.agent(topic, name="store", concurrency=1)
    async def store(stream: Any) -> None:
        # `take` would acknowledge a batch that failed. Windows are built behind `deliver`, counted in events.
        async for events in stream.noack_take(1, within=3600.0):
            for event in events:
                await deliveries.deliver(event.value, event.ack)

    return app


class _Worker(faust.Worker):
    app: Any

    def _install_signal_handlers_unix(self) -> None:
        """Faust's handlers run in the event loop; Python runs these also where that is stuck, and wakes the loop."""
        super()._install_signal_handlers_unix()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.app.on_stopping())


def run_app(app: StreamApp) -> None:
    """Runs the application until SIGTERM or SIGINT. Raises what ended it otherwise; LogUnavailableError for Kafka."""
    worker = _Worker(app, override_logging=False, redirect_stdouts=False, quiet=True)
    # It would write the terminal's code for a visible cursor into the log.
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        # Faust makes an exit of every exception, which stays as its context.
        if ended.code:
            with kafka_may_be_away():
                raise ended.__context__ or RuntimeError(f"Faust ended with {ended.code}") from None
