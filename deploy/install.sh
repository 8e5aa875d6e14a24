#!/bin/sh
# Makes the virtual environment $VENV with the pinned dependencies and ThreatLog itself; one clear line where it cannot.
set -u

fail() {
    printf 'threatlog: %s\n' "$1" >&2
    exit 1
}

child=
# Ends what runs in the background with us; pip alone would go on for a minute.
stop() {
    [ -z "$child" ] || kill "$child" 2>/dev/null
    exit "$1"
}
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM

command -v "$PYTHON" >/dev/null 2>&1 || fail "there is no $PYTHON; install Python 3.11 or later, or set PYTHON to it"
version=$("$PYTHON" -V 2>&1)
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is $version; Python 3.11 or later is needed, set PYTHON to one"

# Whether $VENV is whole, of this Python, and as new as what it is made from.
up_to_date() {
    [ -f "$VENV/.installed" ] && [ "$(cat "$VENV/.python" 2>/dev/null)" = "$PYTHON" ] &&
        [ ! requirements.lock -nt "$VENV/.installed" ] && [ ! pyproject.toml -nt "$VENV/.installed" ]
}

# One installation at a time; this file itself is what they hold.
if command -v flock >/dev/null 2>&1; then
    exec 9<"$0"
    if ! flock -n 9; then
        printf 'threatlog: waiting for another installation into %s\n' "$VENV"
        flock 9 &
        child=$!
        wait "$child"
        child=
        ! up_to_date || exit 0
    fi
fi

# What an interrupted run or another Python left there does not mix with ours.
clear=--clear
[ -f "$VENV/.installed" ] && [ "$("$VENV/bin/python" -V 2>&1)" = "$version" ] && clear=
printf 'threatlog: making %s with %s\n' "$VENV" "$version"
rm -f "$VENV/.installed"
"$PYTHON" -m venv $clear "$VENV" >/dev/null 2>&1 ||
    fail "$PYTHON -m venv $VENV failed; on Debian and Ubuntu the package python3-venv provides it"
log=$VENV/install.log
packages=$(grep -c '^[a-z].*==' requirements.lock)

# How far pip is, on a terminal alone.
show_progress() {
    while [ -t 1 ] && kill -0 "$child" 2>/dev/null; do
        printf '\r  %s of %s fetched' "$(grep -c '^Collecting' "$log")" "$packages"
        grep -q '^Installing collected' "$log" && printf '; unpacking'
        sleep 0.5
    done
    [ ! -t 1 ] || printf '\r%40s\r' ''
}

# Runs pip with its output in the log, and says in one line what went wrong.
install() {
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --retries 2 "$@" >>"$log" 2>&1 9<&- &
    child=$!
    show_progress
    wait "$child"
    status=$?
    child=
    [ "$status" -ne 0 ] || return 0
    if grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeoutError|Failed to resolve|Network is unreachable' "$log"
    then
        fail "the network, or the package index, cannot be reached; the first run needs it (details: $log)"
    fi
    fail "pip failed: $(grep -E '^ *ERROR' "$log" | head -n 1) (details: $log)"
}

: >"$log"
printf 'threatlog: installing %s pinned packages, about a minute the first time\n' "$packages"
# The lock names everything; pip left to resolve would ask for `coverage[toml]` anew and refuse what it finds.
install --require-hashes --no-deps -r requirements.lock
# Not isolated: an isolated build would fetch setuptools once more, unpinned.
install --no-deps --no-build-isolation -e .
printf '%s\n' "$PYTHON" >"$VENV/.python"
touch "$VENV/.installed"
printf 'threatlog: installed\n'
