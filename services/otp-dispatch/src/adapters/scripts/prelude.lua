-- Shared by every script: it stands in front of each, and between the two what else that script needs
-- (store_redis.rs says which): whatever stands there is made anew for every call.
--
-- Instants are unix milliseconds that the caller gives. Rules compare stored instants; expiry only
-- collects garbage, a minute late. Keys carry ids and keyed hashes, never a number or a code:
--   sp:c:ID            challenge    sp:m:ID             message
--   sp:i:HASH          idempotency  sp:l:SCOPE:HASH     sends of a cap (member: message id)
--   sp:accepting       messages that the queue has not confirmed, by instant
--   sp:r:ROUTE:ID      message of a carrier's id        sp:p:ROUTE:ID  parked receipt
--   sp:g:SCOPE:HASH    codes that nobody verified       sp:n:HASH      when the number was verified
--   sp:v:SCOPE:HASH    how many somebody did, by number of slice (s), hour (h) and day (d) since 1970
--   sp:seeded          says that sp:v:… hold their history
-- Which keys a script touches is not known beforehand, so Redis Cluster is refused at start.

local HOUR, DAY, SLACK = 3600000, 86400000, 60000
-- Those of guard.rs and of its ledger.
local RIPE, KNOWN, SLICE, HISTORY_DAYS = 600000, 90 * DAY, HOUR / 6, 14
local ACCEPTING = 'sp:accepting'

local input = cjson.decode(ARGV[1])
local now = input.now

local function challenge_key(id) return 'sp:c:' .. id end
local function message_key(id) return 'sp:m:' .. id end
local function answer(table) return cjson.encode(table) end

local function read(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record
end

local function keep(key, instant)
  redis.call('PEXPIRE', key, math.max(instant - now, 0) + SLACK)
end

-- The challenge, if it is bound as the caller says.
local function bound(id, hashes)
  local challenge = read(challenge_key(id))
  if not challenge then return nil end
  for _, hash in ipairs(hashes) do
    if challenge.binding == hash then return challenge end
  end
  return nil
end

local function phase(challenge)
  if challenge.used then return 'used' end
  if challenge.cancelled then return 'cancelled' end
  if tonumber(challenge.tries) == 0 then return 'out_of_tries' end
  if now >= tonumber(challenge.expires_at) then return 'expired' end
  return 'live'
end

-- Which days, hours and slices since 1970 still say something.
local function first_bucket(kind)
  if kind == 's' then return math.floor(now / SLICE) - 5 end
  if kind == 'h' then return math.floor(now / HOUR) - 23 end
  return math.floor(now / DAY) - HISTORY_DAYS
end
