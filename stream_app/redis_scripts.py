"""What Redis is asked for: in one step, so that nothing comes in between; in turns; and by a pattern."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

# Says that Redis is whole, unless it was emptied while it was filled: then the rebuild's field is gone.
FINISH_REBUILD: Final = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], '1')
return 1"""

# Members in one command's turn: a day of counts at once kept the event loop and Redis from all else for a second.
_MEMBERS_A_TURN: Final = 2000


def literally(text: str) -> str:
    """A pattern of SCAN that matches this text alone."""
    return re.sub(r"[\\*?\[\]]", lambda found: f"\\{found[0]}", text)


def in_turns(counts: Mapping[str, int]) -> Iterator[dict[Any, Any]]:
    """The counts in parts of at most _MEMBERS_A_TURN."""
    items = list(counts.items())
    for start in range(0, len(items), _MEMBERS_A_TURN):
        yield dict(items[start : start + _MEMBERS_A_TURN])
