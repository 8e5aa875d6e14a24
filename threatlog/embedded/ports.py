"""Finds out which ports of the loopback address are free."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Container

LOOPBACK = "127.0.0.1"

# Below Linux's range for outgoing connections (32768 and up): a server that restarts finds its port still free.
_LOWEST, _HIGHEST = 15_000, 32_000


# What a refusal means; the last word is the machine's own.
_FAULTS = {
    errno.EADDRINUSE: "is taken by another program",
    errno.EACCES: "may not be used by this user",
}


def fault_of(port: int) -> str | None:
    """Why no server could listen on this port of 127.0.0.1 now; None when one could."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too: connections of an earlier run that linger in TIME_WAIT do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            # Binding succeeds beside another socket that is bound but does not listen yet; listening does not.
            probe.listen(1)
        except OSError as error:
            return _FAULTS.get(error.errno or 0, f"cannot be used ({error.strerror})")
        except OverflowError:
            return "does not exist"
    return None


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    return fault_of(port) is None


def free_port(rng: random.Random, *, avoid: Container[int] = ()) -> int:
    """A free port outside `avoid`. Raises OSError when none is found."""
    for _ in range(1000):
        port = rng.randint(_LOWEST, _HIGHEST)
        if port not in avoid and is_free(port):
            return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST}")
