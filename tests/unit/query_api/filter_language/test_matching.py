"""Which events a filter selects, each rule by an example."""

from __future__ import annotations

import pytest

from query_api.filter_language.matching import Candidate, attributes_of, matches
from query_api.filter_language.parse import parse

MESSAGE = "Failed password for root from 203.0.113.7 port 52144 ssh2 (Ärger_1) C:\\Users"
ATTRIBUTES = r"""{"user": {"name": "Root", "id": 1001}, "ip": "203.0.113.7", "ports": [22, 52144], "ok": false,
"none": null, "big": 9007199254740993, "ratio": 1.50, "tags": ["ssh", "Brute Force", {"x": "y"}], "message": "own",
"v6": "2001:db8::7", "time": "2026-11-24T10:15:30Z", "empty": "", "list": [], "nul": "a\u0000b", "a.b": 1}"""


def selects(text: str) -> bool:
    event = Candidate(3, "web-01.example.net", MESSAGE, attributes_of(ATTRIBUTES))
    return matches(parse(text), event)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "failed",
            "FAILED root",
            '"for root from"',
            "203.0.113.7",
            "113.7",
            "ärger_1 OR Ärger_1",
            '"(Ärger_1)"',
            '"C:\\users"',
        ),
        *("pass*", "*word", "*asswor*", "203.0.*.7", "/port \\d{5}/", "/PORT/i", "-absent", "NOT absent", "*"),
        *("severity:HIGH", "severity:error,low", "severity>=medium", "severity<CRITICAL", "-severity:LOW"),
        *("source:WEB-01.example.net", "source:web-*", "source:/^web-\\d+/", "-source:web-02"),
        *("user.name:root", "user.name:*", "user.id:1001", "user.id>=1e3", "user.id<1001.5", "user.id:1001.0"),
        *(
            "attributes.message:own",
            "message:failed",
            "ip:203.0.113.0/24",
            "ip:10.0.0.0/8,203.0.113.7",
            "v6:2001:db8::/32",
        ),
        *(
            "ports:22",
            "ports>50000",
            "ports[1]:52144",
            "ports.0:22",
            "ports[-1]:52144",
            "tags:ssh",
            "tags:brute*",
        ),
        *("ok:false", "-none:*", "list:*", 'empty:""', "empty:*", "big:9007199254740993", "-big:9007199254740992"),
        *("ratio:1.5", "ratio:1.50", "time>=2026-11-24", "time<2026-11-25", '"a.b":1', "-absent.key:x", "absent!=1"),
        *("tags[2].x:y", "-tags:y", "nul:a*b", "user:*"),
    ],
)
def test_it_is_selected(text: str) -> None:
    assert selects(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "fail",
            "asswor",
            "203.0.11",
            "03.0.113.7",
            "ärger",
            '"root  from"',
            "rger_1",
            "/PORT/",
            "pass*x",
            "-*",
            "root -ssh2",
        ),
        *(
            "severity:CRITICAL",
            "severity>HIGH",
            "source:web",
            "source:web-0*1",
            "user.name:roo",
            "user:root",
            "user.id>1001",
            "user.id:1.001e3",
            "user.id:01001",
        ),
        *(
            "none:*",
            "none:null",
            "absent:*",
            "ip:203.0.112.0/24",
            "ip:2001:db8::/32",
            "v6:0.0.0.0/0",
            'ip:"203.0.113.0/24"',
        ),
        *(
            "ports:5",
            "tags:y",
            "list:x",
            "big:9007199254740992",
            "time>=2027",
            "user.id>abc OR user.id<0",
            "a.b:1",
            "ok:0",
        ),
        *("message:own", "ports[2]:*", "name:root"),
    ],
)
def test_it_is_not_selected(text: str) -> None:
    assert not selects(text)
