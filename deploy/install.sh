#!/bin/sh
# Makes the virtual environment $VENV with the pinned dependencies and ThreatLog itself; one clear line where it cannot.
set -u

fail() {
    printf 'threatlog: %s\n' "$1" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null 2>&1 || fail "there is no $PYTHON; install Python 3.11 or later, or set PYTHON to it"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is $("$PYTHON" -V 2>&1); Python 3.11 or later is needed, set PYTHON to one"

printf 'threatlog: making %s with %s\n' "$VENV" "$("$PYTHON" -V 2>&1)"
"$PYTHON" -m venv "$VENV" >/dev/null 2>&1 ||
    fail "$PYTHON -m venv $VENV failed; on Debian and Ubuntu the package python3-venv provides it"
log=$VENV/install.log

# Runs pip with its output in the log, and says in one line what went wrong.
install() {
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --retries 2 "$@" >>"$log" 2>&1 && return
    if grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeoutError|Failed to resolve|Network is unreachable' "$log"
    then
        fail "the network, or the package index, cannot be reached; the first run needs it (details: $log)"
    fi
    fail "pip failed: $(grep -E '^ *ERROR' "$log" | head -n 1) (details: $log)"
}

: >"$log"
printf 'threatlog: installing %s pinned packages, about a minute the first time\n' "$(grep -c '^[a-z].*==' requirements.lock)"
# The lock names everything; pip left to resolve would ask for `coverage[toml]` anew and refuse what it finds.
install --require-hashes --no-deps -r requirements.lock
# Not isolated: an isolated build would fetch setuptools once more, unpinned.
install --no-deps --no-build-isolation -e .
printf 'threatlog: installed\n'
