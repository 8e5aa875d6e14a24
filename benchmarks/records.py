"""Records of about 320 bytes for the stream benchmarks, produced straight to Kafka before anything is measured."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

SOURCES = tuple(f"{kind}-{number:02d}" for number in range(8) for kind in ("sshd", "firewall", "nginx", "auth", "ids"))
SEVERITIES = ("INFO",) * 60 + ("LOW",) * 20 + ("MEDIUM",) * 10 + ("HIGH",) * 8 + ("CRITICAL",) * 2
BATCH_EVENTS = 1000
_IN_FLIGHT = 50


def record(rng: random.Random, unix_s: float, place: int) -> bytes:
    """One record as the gateway writes it; `place` spreads the batch's events over half a second."""
    bits = rng.getrandbits
    milliseconds = int(unix_s * 1000)
    received = datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")
    happened = datetime.fromtimestamp(unix_s - 0.5 + place / 2000, UTC).isoformat().replace("+00:00", "Z")
    identifier = (
        f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{bits(12):03x}-{0x8000 | bits(14):04x}-{bits(48):012x}"
    )
    return (
        f'{{"id":"{identifier}","timestamp":"{happened}","severity":"{SEVERITIES[bits(16) % 100]}",'
        f'"source":"{SOURCES[bits(16) % 40]}","message":"Failed password for invalid user oracle from '
        f"{bits(8)}.{bits(8)}.{bits(8)}.{bits(8)} port {bits(16)} ssh2 session={bits(32):08x} attempt={bits(4)}"
        f' host=web{bits(5)}.corp.example.net","received_at":"{received}"}}'
    ).encode()


async def produce(bootstrap: str, topic: str, partitions: int, events: int) -> float:
    """Produces `events` one-event records round the partitions; returns their mean size in bytes."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type="zstd",
        max_batch_size=1 << 20,
        enable_idempotence=True,
    )
    await producer.start()
    rng, produced, size = random.Random(7), 0, 0
    sent: list[asyncio.Future[object]] = []
    try:
        while produced < events:
            batch, now_s = producer.create_batch(), time.time()
            for place in range(min(BATCH_EVENTS, events - produced)):
                value = record(rng, now_s, place)
                batch.append(key=None, value=value, timestamp=None)
                size += len(value)
            produced += batch.record_count()
            batch.close()
            sent.append(await producer.send_batch(batch, topic, partition=produced // BATCH_EVENTS % partitions))
            if len(sent) >= _IN_FLIGHT:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return size / events
