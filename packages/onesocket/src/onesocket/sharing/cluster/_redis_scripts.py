"""Atomic steps of a `Coordinator` as Lua scripts, for Redis 7 and Valkey.

Keys: the lease (a string with a time to live: "EPOCH MEMBER"), the state (a hash), the feed and the mailbox (streams),
the members of the epoch with the numbers of their last submissions (a hash), the answers to one member (a stream). The
ids in streams are our positions: EPOCH-NUMBER; so Redis itself refuses an older epoch than the newest, even without the
lease. For observers alone: the notes of members that are present ("UNTIL RECORDS BEHIND NOTE" in a hash) and, once for
each prefix, the digests of its clusters with the times until which they are in use (a hash). Once for each prefix and
name: the time from which the next login slot is free (a string). Times are milliseconds.

A lease always has a time to live: one without, or of another form, is another program's, and the reply says 'foreign'
with the key.

A script that must not be half-done without memory begins with a write that Redis refuses in that case (XADD, HINCRBY):
after a script's first write it refuses none.
"""

from __future__ import annotations

import hashlib
from typing import Final


class RedisScript:
    """A script with the digest by which Redis keeps it."""

    __slots__ = ("digest", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<RedisScript {self.name}>"


# Ends a script that writes for an epoch unless it holds the lease. KEYS: lease, ...; ARGV: member, epoch, ...
_FENCE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[2] .. ' ' .. ARGV[1] then
  return {'fenced', holder and string.match(holder, '^%d+') or ''}
end
"""

# Defines `now`: the time in milliseconds.
_NOW: Final = """
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
"""

# KEYS: lease, state, feed, mailbox, members. ARGV: member, ttl (ms), highest epoch known, format, seconds of the state,
# records kept, seconds of the feed.
ACQUIRE: Final = RedisScript(
    "acquire",
    _NOW
    + """
local state = redis.call('HMGET', KEYS[2], 'epoch', 'number', 'released', 'format', 'ttl')
if state[4] and state[4] ~= ARGV[4] then return {'format', state[4]} end
local epoch, number = tonumber(state[1] or 0), tonumber(state[2] or 0)
if not epoch or not number then return {'foreign', KEYS[2]} end
local holder = redis.call('GET', KEYS[1])
if holder then
  local held, member = string.match(holder, '^(%d+) (.+)$')
  local left = redis.call('PTTL', KEYS[1])
  if not held or left < 0 then return {'foreign', KEYS[1]} end
  if member ~= ARGV[1] then
    -- More than its whole time: the server's clock was set back. Without its holder, nobody would lead for as long.
    local most = tonumber(state[5] or '')
    if most and left > most then
      left = most
      redis.call('PEXPIRE', KEYS[1], left)
    end
    return {'held', member, held, left, epoch, number}
  end
end
local known = tonumber(ARGV[3])
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
if newest then
  local last, at = string.match(newest[1], '^(%d+)-(%d+)$')
  if tonumber(last) > epoch then
    known = math.max(known, tonumber(last))
    number, state[1] = tonumber(at), last
  end
end
local previous = 'expired'
if known > epoch then previous = 'lost'
elseif epoch == 0 then previous = 'none'
elseif holder or state[3] == '1' then previous = 'released' end
-- Not just one more: an engine that has lost epochs (a replica that lagged, a deleted key) must not grant one twice.
local new = string.format('%.0f', math.max(epoch + 1, known + 1, time[1] * 1000000 + time[2]))
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], new .. '-0',
  'began', ARGV[1], 'previous', (state[1] or '0') .. '-' .. string.format('%.0f', number), 'at', now)
redis.call('DEL', KEYS[4], KEYS[5])
redis.call('HSET', KEYS[2], 'format', ARGV[4], 'epoch', new, 'number', 0, 'released', 0, 'mailed', 0, 'ttl', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[7])
redis.call('SET', KEYS[1], new .. ' ' .. ARGV[1], 'PX', ARGV[2])
return {'granted', new, previous}
""",
)

# KEYS: lease, state, feed. ARGV: member, epoch, ttl (ms), seconds of the state, of the feed. Needs no memory.
RENEW: Final = RedisScript(
    "renew",
    _FENCE
    + """
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[5])
return {'ok'}
""",
)

# KEYS: lease, state, feed. ARGV: member, epoch, number. It frees the lease also without memory for the record.
RELEASE: Final = RedisScript(
    "release",
    _FENCE
    + _NOW
    + """
redis.call('DEL', KEYS[1])
local number = math.max(tonumber(ARGV[3]), tonumber(redis.call('HGET', KEYS[2], 'number') or 0) + 1)
local at = string.format('%.0f', number)
redis.call('HSET', KEYS[2], 'number', at, 'released', 1)
redis.pcall('XADD', KEYS[3], ARGV[2] .. '-' .. at, 'ended', '', 'at', now)
return {'ok'}
""",
)

# Defines `lease`: of the lease that is in force, or 'foreign' and a key. KEYS: lease, state, ...
_LEASE: Final = """
local state = redis.call('HMGET', KEYS[2], 'epoch', 'number', 'format')
local holder = redis.call('GET', KEYS[1])
local held, member, left = '', '', redis.call('PTTL', KEYS[1])
if holder then held, member = string.match(holder, '^(%d+) (.+)$') end
local lease = {member, held, left, state[1] or '0', state[2] or '0', state[3] or ''}
if holder and (not held or left < 0) then lease = {'foreign', KEYS[1], lease[6]}
elseif not tonumber(lease[4]) or not tonumber(lease[5]) then lease = {'foreign', KEYS[2], lease[6]} end
"""

# KEYS: lease, state. Changes nothing.
LEASE: Final = RedisScript("lease", _LEASE + "return lease\n")

# KEYS: lease, state, feed. ARGV: member, epoch, number, highest number known accepted, oldest id to keep, payload.
PUBLISH: Final = RedisScript(
    "publish",
    _FENCE
    + _NOW
    + """
local number = tonumber(redis.call('HGET', KEYS[2], 'number') or -1)
if number < tonumber(ARGV[4]) then return {'lost'} end
if tonumber(ARGV[3]) > number then
  redis.call('XADD', KEYS[3], 'MINID', '~', ARGV[5], ARGV[2] .. '-' .. ARGV[3], 'batch', ARGV[6], 'at', now)
  redis.call('HSET', KEYS[2], 'number', ARGV[3])
end
return {'ok'}
""",
)

# KEYS: lease, state, mailbox, members. ARGV: member, epoch, number, room, seconds to keep, payload.
SUBMIT: Final = RedisScript(
    "submit",
    """
local holder = redis.call('GET', KEYS[1])
local held = holder and string.match(holder, '^%d+') or ''
if held ~= ARGV[2] then return {'fenced', held} end
if tonumber(redis.call('HGET', KEYS[4], ARGV[1]) or 0) >= tonumber(ARGV[3]) then return {'ok'} end
if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[4]) then return {'full'} end
local at = redis.call('HINCRBY', KEYS[2], 'mailed', 1)
redis.call('XADD', KEYS[3], ARGV[2] .. '-' .. string.format('%.0f', at),
  'member', ARGV[1], 'number', ARGV[3], 'mail', ARGV[6])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[5])
redis.call('EXPIRE', KEYS[4], ARGV[5])
return {'ok'}
""",
)

# KEYS: lease, answers. ARGV: member, epoch, number, records kept, seconds to keep, payload.
ANSWER: Final = RedisScript(
    "answer",
    _FENCE
    + """
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if newest then
  local last, at = string.match(newest[1], '^(%d+)-(%d+)$')
  if last == ARGV[2] and tonumber(at) >= tonumber(ARGV[3]) then return {'ok'} end
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], ARGV[2] .. '-' .. ARGV[3], 'answer', ARGV[6])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return {'ok'}
""",
)

# A member that leads, or reads nothing, drops the notes of those that are gone.
# KEYS: state, feed, present, index. ARGV: member, note, ttl (ms), epoch and number that it has read, digest.
ANNOUNCE: Final = RedisScript(
    "announce",
    _NOW
    + """
local records, behind = '-', '-'
if ARGV[4] ~= '0' then
  local state = redis.call('HMGET', KEYS[1], 'epoch', 'number')
  local left = tonumber(state[2] or 0) - tonumber(ARGV[5])
  if state[1] == ARGV[4] and left >= 0 then records = string.format('%.0f', left) end
  if records == '0' then behind = '0'
  else
    local unread = redis.call('XRANGE', KEYS[2], '(' .. ARGV[4] .. '-' .. ARGV[5], '+', 'COUNT', 1)[1]
    local fields = unread and unread[2] or {}
    for i = 1, #fields, 2 do
      if fields[i] == 'at' then behind = string.format('%.0f', math.max(0, now - fields[i + 1])) end
    end
  end
end
local ends = string.format('%.0f', now + ARGV[3])
if ARGV[2] == '' then redis.call('HDEL', KEYS[3], ARGV[1])
else
  redis.call('HSET', KEYS[3], ARGV[1], ends .. ' ' .. records .. ' ' .. behind .. ' ' .. ARGV[2])
  redis.call('HSET', KEYS[4], ARGV[6], ends)
  for _, key in ipairs({KEYS[3], KEYS[4]}) do redis.call('PEXPIRE', key, math.max(ARGV[3], 86400000)) end
end
if ARGV[4] == '0' then
  for _, key in ipairs({KEYS[3], KEYS[4]}) do
    local held = redis.call('HGETALL', key)
    for i = 1, #held, 2 do
      local ended = tonumber(string.match(held[i + 1], '^%d+'))
      if ended and ended <= tonumber(now) then redis.call('HDEL', key, held[i]) end
    end
  end
end
return {records, behind}
""",
)

# KEYS: index. Changes nothing.
INDEX: Final = RedisScript(
    "index",
    _NOW
    + """
local held, found = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #held, 2 do
  local ends = tonumber(held[i + 1])
  if not ends or ends > tonumber(now) then found[#found + 1] = held[i] end
end
return found
""",
)

# KEYS: lease, state, present. Changes nothing.
LOOK: Final = RedisScript("look", _NOW + _LEASE + "return {now, lease, redis.call('HGETALL', KEYS[3])}\n")

# KEYS: the slot's name. ARGV: period, delay (ms). Returns the time until the slot.
RESERVE_SLOT: Final = RedisScript(
    "reserve slot",
    _NOW
    + """
local free = tonumber(redis.call('GET', KEYS[1]) or 0)
if not free then return {'foreign'} end
local slot = math.max(now + ARGV[2], free)
local wait = slot - now
redis.call('SET', KEYS[1], string.format('%.0f', slot + ARGV[1]), 'PX', string.format('%.0f', wait + ARGV[1]))
return wait
""",
)

# Begins a script that runs each command that is needed on a key of its own, and returns `refused`: the names of those
# that are, and the server's words. The first write takes no room: after it, no other is refused for want of memory.
# KEYS: the key to try on.
TRY: Final = """
local key, refused = KEYS[1], {}
local function try(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) == 'table' and reply.err then
    refused[#refused + 1] = name
    refused[#refused + 1] = reply.err
  end
end
try('TIME')
try('DEL', key)
"""

PROBE: Final = RedisScript(
    "probe",
    TRY
    + """
try('SET', key, '1', 'PX', '1000')
try('GET', key)
try('PTTL', key)
try('PEXPIRE', key, '1000')
redis.pcall('DEL', key)
try('HSET', key, 'a', '1')
try('HGET', key, 'a')
try('HMGET', key, 'a')
try('HINCRBY', key, 'a', 1)
try('HGETALL', key)
try('HDEL', key, 'a')
try('EXPIRE', key, '1')
redis.pcall('DEL', key)
try('XADD', key, '1-1', 'a', 'a')
try('XLEN', key)
try('XTRIM', key, 'MINID', '1-1')
try('XREVRANGE', key, '+', '-', 'COUNT', 1)
try('XRANGE', key, '-', '+', 'COUNT', 1)
redis.pcall('DEL', key)
return refused
""",
)
