"""Kafka reads its properties as they were meant, whatever the data folder is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from threatlog.embedded import KafkaNode, KafkaServer, ServerError
from threatlog.embedded.kafka_server import escaped


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("/data/two words", "/data/two words"),
        ("/d\u00e4ta", r"/d\u00e4ta"),
        ("/\U0001f4be", r"/\ud83d\udcbe"),
        ("back\\slash", r"back\\slash"),
        ("line\nend", r"line\u000aend"),
    ],
)
def test_a_value_is_written_as_java_reads_it(value: str, written: str) -> None:
    assert escaped(value) == written


def test_every_property_is_one_line_of_ascii() -> None:
    text = KafkaNode(1, 2).rendered(Path("/d\u00e4ta"))
    assert text.isascii()
    assert len(text.splitlines()) == len(KafkaNode(1, 2).values(""))


def test_a_comma_in_the_path_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"takes no folder with a comma .*a,b.*; choose another DATA_DIR"):
        KafkaServer(tmp_path / "a,b" / "kafka", KafkaNode(1, 2)).prepare()
    assert not (tmp_path / "a,b").exists()
