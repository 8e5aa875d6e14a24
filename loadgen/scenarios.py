"""The stories behind the sample events: each is one actor's steps in order, from a page visit to an intrusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from loadgen.cast import (
    AGENTS,
    ATTACK_PATHS,
    BASTIONS,
    COMMANDS,
    FIREWALLS,
    GUESSED_USERS,
    INTRUDER_COMMANDS,
    LOW_ALERTS,
    PAGES,
    SCANNED_PORTS,
    SCANNER_AGENTS,
    SENSORS,
    STAFF,
    WAFS,
    WEB_SERVERS,
    Dice,
    place_of,
)


class SampleEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One event without its time and id: severity (CRITICAL … INFO), source, message and attributes (JSON values)."""

    severity: str
    source: str
    message: str
    attributes: dict[str, object] = {}


Step = tuple[float, SampleEvent]  # seconds after the step before, and what happened
Story = Callable[[Dice], Iterator[Step]]


def web_visit(dice: Dice) -> Iterator[Step]:
    """One visitor on one web server: 3 to 16 requests, a few of them failing."""
    host, address, agent = dice.pick(WEB_SERVERS), dice.outside(), dice.pick(AGENTS)
    session = f"{int(dice.random() * 0xFFFFFFFF):08x}"
    for _ in range(dice.between(3, 16)):
        page, size, draw = dice.pick(PAGES), dice.between(180, 60_000), dice.random()
        status, severity = (200, "INFO") if draw < 0.93 else (404, "LOW") if draw < 0.985 else (502, "MEDIUM")
        yield (
            dice.random() * 4,
            SampleEvent(
                severity,
                host,
                f'{address} - - "GET {page} HTTP/1.1" {status} {size} "{agent}"',
                {"category": "web", "src_ip": address, "status": status, "path": page, "session": session},
            ),
        )


def firewall_noise(dice: Dice) -> Iterator[Step]:
    """Ordinary connections through one firewall: 2 to 9, now and then one denied."""
    host, address = dice.pick(FIREWALLS), dice.outside()
    for _ in range(dice.between(2, 9)):
        target, port, source_port = dice.inside(), dice.pick((53, 80, 123, 443, 443, 443)), dice.port()
        denied = dice.chance(0.12)
        yield (
            dice.random() * 6,
            _packet("LOW" if denied else "INFO", host, (address, source_port), (target, port), denied),
        )


def admin_session(dice: Dice) -> Iterator[Step]:
    """One of the staff logs in with a key, runs commands with sudo, and leaves."""
    host, user, address, port, process = dice.pick(BASTIONS), dice.pick(STAFF), dice.inside(), dice.port(), dice.port()
    who: dict[str, object] = {"category": "ssh", "src_ip": address, "src_port": port, "user": user}
    fingerprint = f"{int(dice.random() * (1 << 52)):013x}"
    accepted = (
        f"sshd[{process}]: Accepted publickey for {user} from {address} port {port} ssh2: ED25519 SHA256:{fingerprint}"
    )
    yield dice.random(), SampleEvent("INFO", host, accepted, {**who, "action": "login", "method": "publickey"})
    for _ in range(dice.between(0, 4)):
        command = dice.pick(COMMANDS)
        text = f"sudo: {user} : TTY=pts/{process % 9} ; PWD=/home/{user} ; USER=root ; COMMAND={command}"
        yield 2 + dice.random() * 20, SampleEvent("LOW", host, text, {**who, "action": "sudo", "command": command})
    closed = f"sshd[{process}]: pam_unix(sshd:session): session closed for user {user}"
    yield 5 + dice.random() * 30, SampleEvent("INFO", host, closed, {**who, "action": "logout"})


def sensor_noise(dice: Dice) -> Iterator[Step]:
    """A sensor's everyday alerts about one address: 1 to 4, low."""
    host, address = dice.pick(SENSORS), dice.outside()
    for _ in range(dice.between(1, 4)):
        sid, name, kind = dice.pick(LOW_ALERTS)
        severity = "LOW" if dice.chance(0.7) else "INFO"
        yield dice.random() * 8, _alert(severity, host, (sid, name, kind), (address, dice.port()), (dice.inside(), 443))


def intrusion(dice: Dice) -> Iterator[Step]:
    """Scan, password guessing, and sometimes a login, root and a theft: one address all the way through."""
    address, target, host = dice.outside(), dice.inside(), dice.pick(BASTIONS)
    firewall, sensor = dice.pick(FIREWALLS), dice.pick(SENSORS)
    for _ in range(dice.between(8, 30)):
        packet = _packet("LOW", firewall, (address, dice.port()), (target, dice.pick(SCANNED_PORTS)), True)
        yield 0.02 + dice.random() * 0.2, packet
    scan = (2001219, "ET SCAN Potential SSH Scan", "Attempted Information Leak")
    yield 0.1, _alert("MEDIUM", sensor, scan, (address, dice.port()), (target, 22))
    for _ in range(dice.between(10, 40)):
        yield 0.1 + dice.random() * 0.6, _failed_login(dice, host, address)
    guessing = (2006546, "ET SCAN LibSSH Based Frequent SSH Connections Likely BruteForce Attack", "Attempted Admin")
    yield 0.1, _alert("HIGH", sensor, guessing, (address, dice.port()), (target, 22))
    if dice.chance(0.3):
        yield from _break_in(dice, host, address, (firewall, sensor, target))


def _break_in(dice: Dice, host: str, address: str, devices: tuple[str, str, str]) -> Iterator[Step]:
    firewall, sensor, target = devices
    user, port, process = dice.pick(GUESSED_USERS), dice.port(), dice.port()
    who: dict[str, object] = {"category": "ssh", "src_ip": address, "src_port": port, "user": user}
    accepted = f"sshd[{process}]: Accepted password for {user} from {address} port {port} ssh2"
    details = {**who, "action": "login", "method": "password", "geo": place_of(address)}
    yield 0.5, SampleEvent("HIGH", host, accepted, details)
    for _ in range(dice.between(1, 3)):
        command = dice.pick(INTRUDER_COMMANDS)
        text = f"sudo: {user} : TTY=pts/0 ; PWD=/tmp ; USER=root ; COMMAND={command}"
        yield 3 + dice.random() * 9, SampleEvent("CRITICAL", host, text, {**who, "action": "sudo", "command": command})
    beacon = (2027250, "ET MALWARE Observed command and control beacon", "A Network Trojan was detected")
    yield 4, _alert("CRITICAL", sensor, beacon, (target, dice.port()), (address, 8443))
    size = dice.between(40_000_000, 900_000_000)
    theft = (
        f"kernel: ALLOW OUT SRC={target} DST={address} PROTO=TCP DPT=8443 BYTES={size} rule=default-out large upload"
    )
    flow: dict[str, object] = {"category": "firewall", "action": "allow", "src_ip": target, "dst_ip": address}
    yield 20, SampleEvent("CRITICAL", firewall, theft, {**flow, "bytes_out": size, "geo": place_of(address)})


def web_attack(dice: Dice) -> Iterator[Step]:
    """A scanner tries known holes on one web server; the web application firewall and the sensor answer."""
    host, waf, sensor = dice.pick(WEB_SERVERS), dice.pick(WAFS), dice.pick(SENSORS)
    address, agent = dice.outside(), dice.pick(SCANNER_AGENTS)
    for _ in range(dice.between(4, 14)):
        path, sid, name = dice.pick(ATTACK_PATHS)
        client: dict[str, object] = {"category": "web", "src_ip": address, "path": path, "user_agent": agent}
        request = f'{address} - - "GET {path} HTTP/1.1" 403 153 "{agent}"'
        yield 0.1 + dice.random(), SampleEvent("MEDIUM", host, request, {**client, "status": 403})
        if dice.chance(0.5):
            blocked = f"ModSecurity: Access denied with code 403 (phase 2): {name} [id {sid}] [client {address}]"
            rule = {**client, "signature_id": sid, "signature": name, "action": "block", "geo": place_of(address)}
            yield 0.01, SampleEvent("HIGH", waf, blocked, rule)
    attack = (2034647, "ET EXPLOIT web application attack", "Web Application Attack")
    yield 0.2, _alert("HIGH", sensor, attack, (address, dice.port()), (dice.inside(), 443))


def flood(dice: Dice) -> Iterator[Step]:
    """A burst: hundreds of denied packets from many addresses to one port within seconds."""
    host, target, port = dice.pick(FIREWALLS), dice.inside(), dice.pick((53, 80, 443))
    for _ in range(dice.between(120, 500)):
        yield dice.random() * 0.02, _packet("MEDIUM", host, (dice.outside(), dice.port()), (target, port), True)
    name = ("ET DOS Possible SYN flood", "Attempted Denial of Service")
    yield 0.1, _alert("CRITICAL", dice.pick(SENSORS), (2019010, *name), (dice.outside(), 0), (target, port))


def _packet(severity: str, host: str, sender: tuple[str, int], to: tuple[str, int], denied: bool) -> SampleEvent:
    (address, source_port), (target, port) = sender, to
    action, protocol = ("DENY", "UDP" if port in {53, 123} else "TCP") if denied else ("ALLOW", "TCP")
    return SampleEvent(
        severity,
        host,
        f"kernel: {action} IN=eth0 SRC={address} DST={target} LEN=60 TTL=52 PROTO={protocol} "
        f"SPT={source_port} DPT={port}",
        {
            "category": "firewall",
            "action": action.lower(),
            "src_ip": address,
            "src_port": source_port,
            "dst_ip": target,
            "dst_port": port,
        },
    )


def _failed_login(dice: Dice, host: str, address: str) -> SampleEvent:
    user, port = dice.pick(GUESSED_USERS), dice.port()
    unknown = "" if user == "root" else "invalid user "
    return SampleEvent(
        "MEDIUM",
        host,
        f"sshd[{dice.port()}]: Failed password for {unknown}{user} from {address} port {port} ssh2",
        {"category": "ssh", "action": "login_failed", "src_ip": address, "src_port": port, "user": user},
    )


def _alert(
    severity: str, host: str, rule: tuple[int, str, str], sender: tuple[str, int], to: tuple[str, int]
) -> SampleEvent:
    sid, name, kind = rule
    (address, source_port), (target, port) = sender, to
    return SampleEvent(
        severity,
        host,
        f"[1:{sid}:3] {name} [Classification: {kind}] {{TCP}} {address}:{source_port} -> {target}:{port}",
        {
            "category": "ids",
            "signature_id": sid,
            "signature": name,
            "src_ip": address,
            "src_port": source_port,
            "dst_ip": target,
            "dst_port": port,
            "proto": "TCP",
            "geo": place_of(address),
        },
    )


# How often each story begins, relative to the others; README.md has the shares of events that come of it.
MIX: Final[tuple[tuple[float, Story], ...]] = (
    (100.0, web_visit),
    (70.0, firewall_noise),
    (25.0, admin_session),
    (30.0, sensor_noise),
    (2.5, intrusion),
    (3.0, web_attack),
    (0.25, flood),
)
