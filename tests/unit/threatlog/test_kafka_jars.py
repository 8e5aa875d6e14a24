"""Kafka's jars are used only when each is the file that was pinned, and a spoilt one is fetched again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from threatlog.embedded import ServerError
from threatlog.embedded.kafka_jars import KAFKA_VERSION, JarCache, PinnedJar, pinned_jars

CONTENT = b"a jar, whole"
PIN = PinnedJar("org.example", "server", "1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Repository:
    """Fetches as jgo does: what lies there is taken for whole, else the next of `downloads` is written."""

    def __init__(self, folder: Path, downloads: Sequence[bytes]) -> None:
        self.jar = folder / PIN.file_name
        self.downloads = list(downloads)

    def fetch(self, _pin: PinnedJar) -> Path:
        if not self.jar.exists():
            self.jar.write_bytes(self.downloads.pop(0))
        return self.jar


def cache(folder: Path, *downloads: bytes) -> tuple[JarCache, Repository]:
    repository = Repository(folder, downloads)
    return JarCache(folder / "threatlog" / "index.txt", (PIN,), repository.fetch), repository


def test_a_whole_jar_is_fetched_once_and_found_from_then_on(tmp_path: Path) -> None:
    jars, repository = cache(tmp_path, CONTENT)
    assert jars.listed() == ()
    assert jars.find() == jars.find() == jars.listed() == (repository.jar,)


@pytest.mark.parametrize("spoilt", [CONTENT[:5], b"", b"x" * len(CONTENT)])
def test_what_an_interrupted_download_left_is_fetched_again(tmp_path: Path, spoilt: bytes) -> None:
    jars, repository = cache(tmp_path, CONTENT)
    repository.jar.write_bytes(spoilt)
    assert jars.find() == (repository.jar,)
    assert repository.jar.read_bytes() == CONTENT


def test_a_jar_that_is_wrong_twice_is_told_in_one_line_and_nothing_of_it_stays(tmp_path: Path) -> None:
    jars, repository = cache(tmp_path, b"login page", b"login page")
    with pytest.raises(ServerError, match=r"server-1\.0\.jar was downloaded twice") as caught:
        jars.find()
    assert "\n" not in str(caught.value)
    assert not repository.jar.exists()
    assert jars.listed() == ()


def test_a_listed_jar_that_lost_its_end_is_fetched_again(tmp_path: Path) -> None:
    jars, repository = cache(tmp_path, CONTENT, CONTENT)
    jars.find()
    repository.jar.write_bytes(CONTENT[:5])
    assert jars.listed() == ()
    assert jars.find() == (repository.jar,)
    assert repository.jar.read_bytes() == CONTENT


def test_an_index_of_other_jars_is_not_used(tmp_path: Path) -> None:
    jars, repository = cache(tmp_path, CONTENT)
    jars.index.parent.mkdir()
    jars.index.write_text(f"{tmp_path / 'other-2.0.jar'}\n")
    assert jars.find() == (repository.jar,)


def test_a_cache_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "threatlog").write_text("a file where the folder should be")
    jars, _ = cache(tmp_path, CONTENT)
    with pytest.raises(ServerError, match=r"Kafka's jars cannot be kept: .*threatlog"):
        jars.find()


def test_the_pinned_list_is_of_this_version_and_ends_with_the_log_binding() -> None:
    pins = pinned_jars()
    assert (pins[0].group, pins[0].artifact, pins[0].version) == ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION)
    assert pins[-1].artifact == "log4j-slf4j-impl"
    assert all(len(pin.sha256) == 64 and pin.size_bytes > 0 for pin in pins)
