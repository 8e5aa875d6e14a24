"""Runs several workers side by side as child processes, and starts one that ended anew."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_TRY_LATER
from threatlog.process.logs import configure_logs
from threatlog.process.tether import tethered

if TYPE_CHECKING:
    from threatlog.process.settings import Settings

log = logging.getLogger(__name__)
STOP_WITHIN_S = 9.5
RESTART_AFTER_S = 1.0


def run_workers(settings: Settings) -> int:
    """Keeps `ingestion.worker_count` workers running; worker n serves its metrics on metrics_port + n."""
    configure_logs("stream-supervisor", settings.log.level)
    stopping = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    ports = [settings.stream.metrics_port + number for number in range(settings.ingestion.worker_count)]
    children = {port: _start(port) for port in ports}
    while not stopping:
        time.sleep(0.2)
        for port, child in children.items():
            code = child.poll()
            if code is None or stopping:
                continue
            if code == EXIT_CONFIGURATION:
                _stop(list(children.values()))
                return code
            log.warning("a worker ended and is started anew", extra={"metrics_port": port, "exit_code": code})
            time.sleep(RESTART_AFTER_S)
            children[port] = _start(port)
    return _stop(list(children.values()))


def _start(port: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"THREATLOG_INGESTION_WORKER_COUNT": "1", "THREATLOG_STREAM_METRICS_PORT": str(port)}
    # Killed with us: left alone it would keep its port, and our next start would take that for a wrong setting.
    return subprocess.Popen(tethered([sys.executable, "-m", "stream_app"]), env=environment)


def _stop(children: list[subprocess.Popen[bytes]]) -> int:
    for child in children:
        child.terminate()
    deadline = time.monotonic() + STOP_WITHIN_S
    for child in children:
        try:
            child.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.kill()
    return max((_code_of(child.wait()) for child in children), default=0)


def _code_of(status: int) -> int:
    """A worker that SIGTERM reached before it could listen had nothing under way; one that was killed may have had."""
    if status == -signal.SIGTERM:
        return 0
    return status if status >= 0 else EXIT_TRY_LATER
