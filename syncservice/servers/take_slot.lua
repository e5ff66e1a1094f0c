-- take_slot.lua: take a connection slot at each of some accounts, or at none of them.
-- KEYS     sorted sets: holder -> end of its lease (ms since 1970, Redis clock)
-- ARGV[1]  holder (unique to this conversation; taking again renews)
-- ARGV[2]  lease in ms; ARGV[3…] number of slots of each key
-- returns  1 taken, 0 one of them has none free. A dead holder loses its slot with its lease.
local holder, lease = ARGV[1], tonumber(ARGV[2])
local seconds, micros = unpack(redis.call("TIME"))
local now = seconds * 1000 + math.floor(micros / 1000)
for number, key in ipairs(KEYS) do
  redis.call("ZREMRANGEBYSCORE", key, "-inf", now)
  local full = redis.call("ZCARD", key) >= tonumber(ARGV[number + 2])
  if full and not redis.call("ZSCORE", key, holder) then
    return 0
  end
end
for _, key in ipairs(KEYS) do
  redis.call("ZADD", key, now + lease, holder)
  redis.call("PEXPIRE", key, lease)
end
return 1
