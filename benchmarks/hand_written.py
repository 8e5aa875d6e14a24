"""The loop that the stream application is compared with: aiokafka getmany, the same decoding and COPY, nothing else.

No Faust, no rollups, no Redis, no metrics: one transaction of a COPY and the offsets for each fetch.
"""

from __future__ import annotations

import gc
import json
import sys
import time

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.bench_stack import cpu_s
from ingest_gateway.contract import EventLimits
from stream_app.copy_source import in_one_piece
from stream_app.fence import Span
from stream_app.prepare import LOG_COLUMNS, copy_payload, prepare

BATCH_SIZE = 10_000
MOVE = (
    "UPDATE hand_offsets SET next_offset = v.o FROM unnest($1::int[], $2::bigint[]) AS v (p, o) WHERE partition = v.p"
)


async def run(bootstrap: str, topic: str, dsn: str, partitions: int, events: int) -> dict[str, float]:
    """Stores `events` records of the topic; returns rate and CPU microseconds per event."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE hand_offsets (partition int PRIMARY KEY, next_offset bigint NOT NULL)")
    await connection.execute("INSERT INTO hand_offsets SELECT p, 0 FROM generate_series(0, $1) p", partitions - 1)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, max_poll_records=BATCH_SIZE
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
    await consumer.seek_to_beginning()
    backend, limits, stored = connection.get_server_pid(), EventLimits(), 0
    started, own, theirs = time.perf_counter(), time.process_time(), cpu_s(backend)
    while stored < events:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=BATCH_SIZE)
        rows = prepare(topic, [Span(tp.partition, records) for tp, records in fetched.items()], limits).rows
        async with connection.transaction():
            await connection.copy_to_table(
                "logs", source=in_one_piece(copy_payload(rows)), columns=list(LOG_COLUMNS), format="binary"
            )
            offsets = {tp.partition: records[-1].offset + 1 for tp, records in fetched.items()}
            await connection.execute(MOVE, list(offsets), list(offsets.values()))
        stored += len(rows)
    elapsed = time.perf_counter() - started
    figures = {
        "events_per_s": stored / elapsed,
        "own_us": (time.process_time() - own) / stored * 1e6,
        "backend_us": (cpu_s(backend) - theirs) / stored * 1e6,
    }
    await consumer.stop()
    await connection.close()
    return figures


def main() -> None:
    """Arguments: bootstrap, topic, dsn, partitions, events. Prints one JSON line."""
    bootstrap, topic, dsn, partitions, events = sys.argv[1:]
    # The same care of the garbage collector as the stream application takes.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    print(json.dumps(uvloop.run(run(bootstrap, topic, dsn, int(partitions), int(events)))))


if __name__ == "__main__":
    main()
