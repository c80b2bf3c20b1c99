-- Forget the entries that a published generation covers; "complete since" becomes its snapshot, in the same step.
-- ARGV: 1 prefix, 2 revision this started from, 3 highest covered seq, 4 plan (JSON: types [], views {rows key: type}), 5.. state fields
-- Returns JSON: forgotten, and the counts that the state keeps (entries {type: count}, envelope_bytes, polls);
-- or -1 when the overlay is no longer what this started from.

local prefix, expected, covered = ARGV[1], ARGV[2], ARGV[3]
local plan = cjson.decode(ARGV[4])
local state = prefix .. 'state'

if redis.call('HGET', state, 'revision') ~= expected then
  return -1
end

if redis.call('ZCARD', prefix .. 'polls') ~= tonumber(redis.call('HGET', state, 'polls') or '0') then
  return -1
end
for _, kind in ipairs(plan.types) do
  local known = tonumber(redis.call('HGET', state, 'entries:' .. kind) or '0')
  if redis.call('ZCARD', prefix .. 'order:' .. kind) ~= known then
    return -1
  end
end

local bytes = tonumber(redis.call('HGET', state, 'envelope_bytes') or '0')
local forgotten = 0
local entries = {}

for _, kind in ipairs(plan.types) do
  local members = redis.call('ZRANGEBYSCORE', prefix .. 'order:' .. kind, '-inf', covered)
  for first = 1, #members, 500 do
    local last = math.min(first + 499, #members)
    redis.call('HDEL', prefix .. 'seen:' .. kind, unpack(members, first, last))
    for rows, rows_kind in pairs(plan.views) do
      if rows_kind == kind then
        redis.call('HDEL', prefix .. 'rows:' .. rows, unpack(members, first, last))
      end
    end
    for index = first, last do
      local partition, id = string.match(members[index], '^(-?%d+)/(.*)$')
      local key = 'fhir:' .. kind .. ':' .. id
      if partition ~= '-1' then
        key = key .. '@' .. partition
      end
      bytes = bytes - redis.call('STRLEN', key)
      redis.call('DEL', key)
    end
  end
  redis.call('ZREMRANGEBYSCORE', prefix .. 'order:' .. kind, '-inf', covered)
  entries[kind] = redis.call('ZCARD', prefix .. 'order:' .. kind)
  redis.call('HSET', state, 'entries:' .. kind, entries[kind])
  forgotten = forgotten + #members
end
redis.call('ZREMRANGEBYSCORE', prefix .. 'polls', '-inf', covered)
local polls = redis.call('ZCARD', prefix .. 'polls')
redis.call('HSET', state, 'envelope_bytes', bytes, 'polls', polls, unpack(ARGV, 5))
return cjson.encode({forgotten = forgotten, entries = entries, envelope_bytes = bytes, polls = polls})
