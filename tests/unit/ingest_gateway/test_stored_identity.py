"""What the contract says a record will be once it is stored is what the stream application stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.contract import (
    SEVERITY_CODES,
    Place,
    RejectedEventError,
    id_of_position,
    moment_of,
    position_in_id,
    read_stored,
    topic_tag,
)
from stream_app.fence import Span
from stream_app.prepare import prepare
from tests.fakes.kafka_records import LIMITS, NOON_MS, TOPIC, FakeRecord, event_json

_NOON = moment_of(NOON_MS * 1000)
_MOMENTS = st.none() | st.one_of(
    st.integers(-3_000_000, 3_000_000).map(lambda us: _NOON + timedelta(microseconds=us)),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
).map(datetime.isoformat)
_IDS = st.none() | st.sampled_from((1, 4, 7, 8)).flatmap(
    lambda version: st.integers(0, 2**128 - 1).map(
        lambda bits: str(UUID(int=bits & ~(0xF << 76) & ~(3 << 62) | version << 76 | 2 << 62))
    )
)


@given(
    records=st.lists(
        st.fixed_dictionaries(
            {"id": _IDS, "timestamp": _MOMENTS, "received_at": _MOMENTS, "severity": st.sampled_from(["HIGH", "no"])}
        ),
        max_size=8,
    ),
    partition=st.integers(0, 1023),
    first=st.integers(0, 10**12),
)
def test_rows_and_dead_letters_are_those_of_the_contract(
    records: list[dict[str, str | None]], partition: int, first: int
) -> None:
    made = [FakeRecord(first + n, event_json(**fields), timestamp=NOON_MS + n) for n, fields in enumerate(records)]
    prepared = prepare(TOPIC, [Span(partition, made)] if made else [], LIMITS)
    rows = {row.record.offset: (row.ts_us, row.id, row.received_us, row.severity) for row in prepared.rows}
    letters = {letter.offset: letter.reason for letter in prepared.dead_letters}
    said = {record.offset: by_the_contract(partition, record) for record in made}
    assert said == {**rows, **letters}


def by_the_contract(partition: int, record: FakeRecord) -> tuple[int, bytes, int, int] | str:
    place = Place(partition, record.offset, record.timestamp)
    try:
        _, severity, found = read_stored(record.value, place, topic_tag(TOPIC), LIMITS)
    except RejectedEventError as error:
        return error.code
    return found.ts_us, found.id, found.received_us, SEVERITY_CODES[severity]


@given(st.integers(0, 2**47), st.integers(0, 4095), st.integers(0, 2**46 - 1))
def test_a_position_is_read_back_from_an_id_made_of_it(us: int, partition: int, offset: int) -> None:
    tag = topic_tag(TOPIC)
    assert position_in_id(id_of_position(us, partition, offset, tag), tag) == (partition, offset)
    assert position_in_id(id_of_position(us, partition, offset, tag), tag + 1) is None
