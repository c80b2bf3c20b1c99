-- Publish one poll: its staged entries, its mark and the counts become visible together, or not at all.
-- ARGV: 1 prefix, 2 revision the poll started from ('' when there was no state), 3 prefix of the staged keys,
--       4 plan (JSON: rebuild, seq, mark, types {type: ttl}, views {rows key: type}, forget, staged,
--       counts {staged key: entries}), 5.. state fields
-- Returns JSON: the counts that the state keeps (entries {type: count}, envelope_bytes, polls);
-- or 0 when the overlay is no longer what the poll started from, or -1 when staged entries were lost.

local prefix, expected, stage = ARGV[1], ARGV[2], ARGV[3]
local plan = cjson.decode(ARGV[4])
local state = prefix .. 'state'

if (redis.call('HGET', state, 'revision') or '') ~= expected then
  return 0
end

-- What was lost since must not be counted as if it had never been there.
local function complete(kind)
  local known = tonumber(redis.call('HGET', state, 'entries:' .. kind) or '0')
  return redis.call('ZCARD', prefix .. 'order:' .. kind) == known
end

if not plan.rebuild then
  if redis.call('ZCARD', prefix .. 'polls') ~= tonumber(redis.call('HGET', state, 'polls') or '0') then
    return 0
  end
  for kind, _ in pairs(plan.types) do
    if not complete(kind) then
      return 0
    end
  end
end

-- Eviction takes whole keys, at the beginning of a command: what is here now stays until the script is done.
for name, count in pairs(plan.counts) do
  if redis.call('HLEN', stage .. name) ~= count then
    return -1
  end
end

local bytes = tonumber(redis.call('HGET', state, 'envelope_bytes') or '0')

local function envelope_key(kind, member)
  local partition, id = string.match(member, '^(-?%d+)/(.*)$')
  if partition == '-1' then
    return 'fhir:' .. kind .. ':' .. id
  end
  return 'fhir:' .. kind .. ':' .. id .. '@' .. partition
end

if plan.rebuild then
  for _, name in ipairs(plan.forget) do
    local kind = string.match(name, '^order:(.*)$')
    if kind then
      for _, member in ipairs(redis.call('ZRANGE', prefix .. name, 0, -1)) do
        redis.call('DEL', envelope_key(kind, member))
      end
    end
    redis.call('UNLINK', prefix .. name)
  end
  redis.call('UNLINK', prefix .. 'polls', state)
  bytes = 0
end

local function move(name)
  local pairs_ = redis.call('HGETALL', stage .. name)
  for first = 1, #pairs_, 1000 do
    redis.call('HSET', prefix .. name, unpack(pairs_, first, math.min(first + 999, #pairs_)))
  end
  redis.call('UNLINK', stage .. name)
end

for _, kind in ipairs(plan.staged) do
  local members = redis.call('HKEYS', stage .. 'seen:' .. kind)
  for first = 1, #members, 500 do
    local scored = {}
    for index = first, math.min(first + 499, #members) do
      scored[#scored + 1] = plan.seq
      scored[#scored + 1] = members[index]
    end
    redis.call('ZADD', prefix .. 'order:' .. kind, unpack(scored))
  end
  move('seen:' .. kind)
  local envelopes = redis.call('HGETALL', stage .. 'envelopes:' .. kind)
  for index = 1, #envelopes, 2 do
    local key = envelope_key(kind, envelopes[index])
    bytes = bytes - redis.call('STRLEN', key) + #envelopes[index + 1]
    redis.call('SET', key, envelopes[index + 1], 'EX', plan.types[kind])
  end
  redis.call('UNLINK', stage .. 'envelopes:' .. kind)
end
for rows, kind in pairs(plan.views) do
  move('rows:' .. rows)
  redis.call('EXPIRE', prefix .. 'rows:' .. rows, plan.types[kind])
end
if #plan.staged > 0 then
  redis.call('ZADD', prefix .. 'polls', plan.seq, plan.seq .. ' ' .. plan.mark)
end

local longest = 0
local entries = {}
for kind, ttl in pairs(plan.types) do
  redis.call('EXPIRE', prefix .. 'order:' .. kind, ttl)
  redis.call('EXPIRE', prefix .. 'seen:' .. kind, ttl)
  entries[kind] = redis.call('ZCARD', prefix .. 'order:' .. kind)
  redis.call('HSET', state, 'entries:' .. kind, entries[kind])
  longest = math.max(longest, ttl)
end
local polls = redis.call('ZCARD', prefix .. 'polls')
redis.call('HSET', state, 'envelope_bytes', bytes, 'polls', polls, unpack(ARGV, 5))
redis.call('EXPIRE', state, longest)
redis.call('EXPIRE', prefix .. 'polls', longest)
return cjson.encode({entries = entries, envelope_bytes = bytes, polls = polls})
