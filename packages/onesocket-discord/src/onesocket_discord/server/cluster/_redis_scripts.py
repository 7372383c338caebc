"""Atomic steps on Redis or Valkey as Lua scripts.

The stream's ids are BASE-NUMBER: BASE is the time at which it was begun, and NUMBER counts without a hole. So a reader
knows what it has missed, and that a stream was begun anew.

An entry of another program has a higher id, behind which Redis would take no more of ours: the stream is begun anew,
and the state keeps the other's id ("foreign").
"""

from __future__ import annotations

from typing import Final

from onesocket.sharing.cluster._redis_scripts import RedisScript

# add(stream, state, length, body): appends an entry, and drops old ones.
_ADD: Final = """
local function begin(state, after)
  local time = redis.call('TIME')
  local base = string.format('%.0f', math.max(time[1] * 1000 + math.floor(time[2] / 1000), after + 1))
  redis.call('HSET', state, 'base', base, 'number', 0)
  return base
end
local function base_of(state)
  return redis.call('HGET', state, 'base') or begin(state, 0)
end
-- The id of another program's entry, after the last of ours; '': it is there no more.
local function foreign_after(stream, id)
  local found = redis.call('XREAD', 'COUNT', 1, 'STREAMS', stream, id)
  return found and found[1][2][1][1] or ''
end
local function begin_anew(stream, state, base, foreign)
  redis.call('DEL', stream)
  redis.call('HSET', state, 'foreign', foreign)
  return begin(state, base)
end
local function add(stream, state, length, body)
  local base = base_of(state)
  local number = redis.call('HINCRBY', state, 'number', 1)
  local added = redis.pcall('XADD', stream, 'MAXLEN', '~', length, base .. '-' .. number, 'b', body)
  if type(added) ~= 'table' then return end
  if not string.find(added.err, 'equal or smaller') then error(added) end
  base = begin_anew(stream, state, base, foreign_after(stream, base .. '-' .. number - 1))
  number = redis.call('HINCRBY', state, 'number', 1)
  redis.call('XADD', stream, base .. '-' .. number, 'b', body)
end
"""

# KEYS: stream, state. Returns the id of the last entry, and that of another program's for which the stream was begun
# anew: '-' if it never was.
POSITION: Final = RedisScript(
    "position",
    _ADD
    + """
local base = base_of(KEYS[2])
local id = base .. '-' .. redis.call('HGET', KEYS[2], 'number')
local foreign = foreign_after(KEYS[1], id)
if foreign ~= '' then id = begin_anew(KEYS[1], KEYS[2], base, foreign) .. '-0' end
return {id, redis.call('HGET', KEYS[2], 'foreign') or '-'}
""",
)

# KEYS: stream, state, relayed. ARGV: length, then for each entry its number in the database, or '', and its body.
# One that was relayed already is left out.
ADD: Final = RedisScript(
    "add",
    _ADD
    + """
for i = 2, #ARGV, 2 do
  if ARGV[i] == '' or redis.call('ZADD', KEYS[3], 'NX', ARGV[i], ARGV[i]) == 1 then
    add(KEYS[1], KEYS[2], ARGV[1], ARGV[i + 1])
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -10001)
""",
)

# KEYS: record, own. ARGV: time to live (s), then fields and values of the record, '', and SEQ:BODY of dispatches.
BEGIN: Final = RedisScript(
    "begin",
    """
local i = 2
while ARGV[i] ~= '' do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  i = i + 2
end
for j = i + 1, #ARGV do
  redis.call('ZADD', KEYS[2], string.match(ARGV[j], '^%d+'), ARGV[j])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
""",
)

# KEYS: record, own. ARGV: node, time to live (s), then SEQ:BODY of dispatches. Returns 0 if another server has it now.
APPEND: Final = RedisScript(
    "append",
    """
if redis.call('HGET', KEYS[1], 'node') ~= ARGV[1] then return 0 end
for i = 3, #ARGV do
  redis.call('ZADD', KEYS[2], string.match(ARGV[i], '^%d+'), ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
""",
)

# KEYS: record, own, stream, state. ARGV: node, user, length, entry of the move. Returns the record and the dispatches.
CLAIM: Final = RedisScript(
    "claim",
    _ADD
    + """
if redis.call('HGET', KEYS[1], 'user') ~= ARGV[2] then return {} end
redis.call('HSET', KEYS[1], 'node', ARGV[1])
add(KEYS[3], KEYS[4], ARGV[3], ARGV[4])
return {redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1)}
""",
)

# KEYS: record and own of each session. ARGV: node, time to live (s), then for each: seq and id of the older and of the
# newer checkpoint.
CHECKPOINT: Final = RedisScript(
    "checkpoint",
    """
for i = 1, #KEYS, 2 do
  if redis.call('HGET', KEYS[i], 'node') == ARGV[1] then
    local at = 2 * i + 1
    redis.call('HSET', KEYS[i], 'old_seq', ARGV[at], 'old_id', ARGV[at + 1], 'seq', ARGV[at + 2], 'id', ARGV[at + 3])
    redis.call('ZREMRANGEBYSCORE', KEYS[i + 1], '-inf', ARGV[at])
    redis.call('EXPIRE', KEYS[i], ARGV[2])
    redis.call('EXPIRE', KEYS[i + 1], ARGV[2])
  end
end
""",
)

# KEYS: record, own. ARGV: node.
END: Final = RedisScript(
    "end", "if redis.call('HGET', KEYS[1], 'node') == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end"
)

# KEYS: the day's count of a bot, its bucket. ARGV: limit, interval (ms), a day (ms).
IDENTIFY: Final = RedisScript(
    "identify",
    """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 'spent' end
if tonumber(ARGV[2]) > 0 and not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[2]) then return 'too fast' end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 'granted'
""",
)

# KEYS: stream, state, presences of this server. ARGV: length, entry, user, presence or ''.
PRESENCE: Final = RedisScript(
    "presence",
    _ADD
    + """
if ARGV[4] == '' then redis.call('HDEL', KEYS[3], ARGV[3]) else redis.call('HSET', KEYS[3], ARGV[3], ARGV[4]) end
add(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
""",
)

# KEYS: stream, state, servers, alive, presences of the server that may be gone. ARGV: length, entry, server.
LOST_NODE: Final = RedisScript(
    "lost-node",
    _ADD
    + """
if redis.call('EXISTS', KEYS[4]) == 0 and redis.call('SREM', KEYS[3], ARGV[3]) == 1 then
  redis.call('DEL', KEYS[5])
  add(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
end
""",
)
