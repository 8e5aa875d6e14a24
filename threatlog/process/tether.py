"""Run as a script between fork and exec: ties a child to its parent's life, changes the user, becomes the program.

    python -I -S tether.py PARENT_PID DEATH_SIGNAL UID:GID PROGRAM [ARGUMENT ...]

UID:GID is `-` for no change. A `preexec_fn` would do this in the forked child, which in a process with threads may hang
on a lock that another thread held. As a script it sees the standard library alone.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_EXIT_NO_PROGRAM = 127
_EXIT_ORPHAN = 125


def tethered(
    command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL, account: tuple[int, int] | None = None
) -> list[str]:
    """The command that runs `command` so: it gets `death_signal` when this process, or the thread that starts it, ends.

    `account` is the user and group id to run as.
    """
    user = "{}:{}".format(*account) if account else "-"
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal)), user, *command]


def main(parent: int, death_signal: int, account: str, command: list[str]) -> None:
    """Does not return: the program takes this process over, or the process ends."""
    if account != "-":
        uid, gid = account.split(":")
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    # After the change of user, which would clear it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # The parent ended before the line above.
        sys.exit(_EXIT_ORPHAN)
    try:
        os.execvp(command[0], command)  # noqa: S606 - to start a program is its purpose
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
        sys.exit(_EXIT_NO_PROGRAM)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
