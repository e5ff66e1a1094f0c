-- take_token.lua: take a token out of a bucket that fills at a steady rate, if it may be had.
-- KEYS[1]  hash: tokens left, and when that was counted (µs since 1970, Redis clock)
-- ARGV[1]  tokens that come a second; the bucket holds a second's worth
-- ARGV[2]  how many may be owed after it: what has begun may end, what has not begun waits for it
-- returns  0 taken, else milliseconds until the bucket owes none. One that nobody uses is full.
local key, rate, debt = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local seconds, micros = unpack(redis.call("TIME"))
local now = seconds * 1000000 + micros
local known = redis.call("HMGET", key, "tokens", "at")
local tokens = tonumber(known[1] or rate) + (now - tonumber(known[2] or now)) * rate / 1000000
tokens = math.min(tokens, rate)
local wait = 0
if tokens - 1 >= -debt then
  tokens = tokens - 1
else
  wait = math.ceil((1 - tokens) * 1000 / rate)
end
redis.call("HSET", key, "tokens", tostring(tokens), "at", string.format("%.0f", now))
redis.call("PEXPIRE", key, 3000)
return wait
