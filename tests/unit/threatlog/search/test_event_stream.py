"""Server-sent events are the same wherever the bytes of a stream are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatlog.search.event_stream import EventStream, EventTooLargeError, StreamEvent

LINES = st.sampled_from(
    [
        *(
            b"data: one",
            b"data:two",
            b"data",
            b"data:  x",
            b"id: 0:1,1:2",
            b"id:",
            b"id: a\0b",
            b"event: log",
            b"event:",
        ),
        *(b": comment", b"retry: 250", b"retry: x", b"unknown: x", b"", b"", "data: \u00e4\u2028".encode()),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=20), st.data())
def test_cuts_make_no_difference(lines: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    content = b"".join(line + end for line, end in lines)
    whole = EventStream("before")
    expected = list(whole.feed(content))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    cut = EventStream("before")
    assert [event for piece in pieces for event in cut.feed(piece)] == expected
    assert (cut.last_id, cut.retry_ms) == (whole.last_id, whole.retry_ms)


def test_events_have_a_kind_data_and_the_newest_id() -> None:
    stream = EventStream()
    content = (
        b"\xef\xbb\xbfretry: 1000\n\nid: 0:1\nevent: position\ndata: {}\n\n: still here\n\n"
        b"data: a\ndata: b\n\nid: 0:2\n\nevent: log\ndata: never ended\n"
    )
    assert list(stream.feed(content)) == [StreamEvent("position", b"{}", "0:1"), StreamEvent("message", b"a\nb", "0:1")]
    assert (stream.last_id, stream.retry_ms) == ("0:2", 1000)


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 1000 + b"\n", b"x" * 1000])
def test_what_never_ends_is_refused(piece: bytes) -> None:
    stream = EventStream(most_bytes=10_000)
    with pytest.raises(EventTooLargeError):
        assert [event for _ in range(20) for event in stream.feed(piece)] == []
