-- take_slot.lua: take one of a server's connection slots, if one is free.
-- KEYS[1]  sorted set: holder -> end of its lease (ms since 1970, Redis clock)
-- ARGV     holder (unique to this conversation; taking again renews), number of slots, lease in ms
-- returns  1 taken, 0 all are held. A holder that died loses its slot when its lease ends.
local key, holder, slots, lease = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local seconds, micros = unpack(redis.call("TIME"))
local now = seconds * 1000 + math.floor(micros / 1000)
redis.call("ZREMRANGEBYSCORE", key, "-inf", now)
if not redis.call("ZSCORE", key, holder) and redis.call("ZCARD", key) >= slots then
  return 0
end
redis.call("ZADD", key, now + lease, holder)
redis.call("PEXPIRE", key, lease)
return 1
