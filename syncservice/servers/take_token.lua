-- take_token.lua: take a token out of a bucket that fills at a steady rate, if one is in it.
-- KEYS[1]  hash: tokens left, and when that was counted (µs since 1970, Redis clock)
-- ARGV     tokens that come a second; the bucket holds a second's worth
-- returns  0 taken, else milliseconds until there will be one. A bucket nobody uses is a full one.
local key, rate = KEYS[1], tonumber(ARGV[1])
local seconds, micros = unpack(redis.call("TIME"))
local now = seconds * 1000000 + micros
local known = redis.call("HMGET", key, "tokens", "at")
local tokens = tonumber(known[1] or rate) + (now - tonumber(known[2] or now)) * rate / 1000000
tokens = math.min(tokens, rate)
local wait = 0
if tokens >= 1 then
  tokens = tokens - 1
else
  wait = math.ceil((1 - tokens) * 1000 / rate)
end
redis.call("HSET", key, "tokens", tostring(tokens), "at", string.format("%.0f", now))
redis.call("PEXPIRE", key, 2000)
return wait
