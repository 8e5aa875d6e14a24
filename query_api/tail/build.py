"""Puts the live tail together: settings -> the topic's end, shared by all -> streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from prometheus_client import CollectorRegistry

from ingest_gateway.contract import EventLimits
from query_api.tail.figures import TailFigures
from query_api.tail.live_event import EventDecoder
from query_api.tail.live_log import KafkaView, LiveLog, Sources
from query_api.tail.tails import Tails
from query_api.tail.topic_reader import TopicReader
from query_api.tail.turns import Turns
from threatlog.access.key_watch import KeyWatch
from threatlog.process.settings import Settings


def build_tails(
    settings: Settings,
    kafka: KafkaView,
    registry: CollectorRegistry,
    keys: KeyWatch | None,
    now: Callable[[], datetime],
) -> Tails:
    """Nothing is connected before somebody tails."""
    limits = EventLimits.of(settings.limits.model_dump())
    sources = Sources(lambda: TopicReader(settings.kafka), EventDecoder(settings.kafka.topic, limits), kafka, now)
    live = LiveLog(sources, Turns(time.monotonic))
    judge = None if keys is None else keys.why_no_longer
    return Tails(live, TailFigures(registry), settings.query.max_tails, judge)
