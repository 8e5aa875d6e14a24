"""What Redis does in one step, so that nothing comes in between."""

from typing import Final

# Says that Redis is whole, unless it was emptied while it was filled: then the rebuild's field is gone.
FINISH_REBUILD: Final = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], '1')
return 1"""
