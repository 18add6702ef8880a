-- Shared by every script: it stands in front of each.
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

-- What the message's state is called outside.
local function public_state(message)
  if not message then return { state = 'expired' } end
  local stage = message.stage
  if stage == 'accepting' or stage == 'queued' or stage == 'held' then
    return { state = 'queued' }
  end
  return { state = stage, reason = message.reason }
end

-- When the challenge may be sent again. What is known not to have arrived, or may not have, is not
-- waited for (rule 28): then it is the instant at which it was last sent.
local function opens_at(challenge)
  local stage = redis.call('HGET', message_key(challenge.newest), 'stage')
  if stage == 'failed' or stage == 'outcome_unknown' then return tonumber(challenge.sent_at) end
  return tonumber(challenge.resend_at)
end

local function view(id, challenge, message_id)
  message_id = message_id or challenge.newest
  return {
    id = id,
    message_id = message_id,
    reference = challenge.reference,
    expires_at = tonumber(challenge.expires_at),
    resend_at = opens_at(challenge),
    sends_left = tonumber(challenge.sends_left),
    tries_left = tonumber(challenge.tries),
    message_state = public_state(read(message_key(message_id))),
    phase = phase(challenge),
  }
end

-- What a known idempotency key made, or nil. A challenge that is over is no answer: whoever took it
-- for the one to answer would give up a live one for it.
local function known()
  local record = read(input.idempotency)
  if not record or now >= tonumber(record.kept_until) then return nil end
  local challenge = record.challenge and read(challenge_key(record.challenge))
  if record.challenge and not challenge then return nil end
  if record.body_hash ~= input.body_hash then return { outcome = 'conflict' } end
  if challenge and phase(challenge) ~= 'live' then return { outcome = 'ended' } end
  local message = read(message_key(record.message))
  local repeated = { outcome = 'repeated', message_id = record.message }
  if challenge then repeated.view = view(record.challenge, challenge, record.message) end
  if message and message.stage == 'accepting' then
    repeated.unconfirmed = { body = message.body, deadline_at = tonumber(message.deadline_at) }
  end
  return repeated
end

local function remember(challenge_id)
  local key = input.idempotency
  redis.call('DEL', key)
  redis.call('HSET', key, 'body_hash', input.body_hash, 'message', input.message.id,
    'kept_until', now + input.keep_idempotency)
  if challenge_id then redis.call('HSET', key, 'challenge', challenge_id) end
  keep(key, now + input.keep_idempotency)
end

-- Stores the new message as accepting.
local function accept(challenge_id, deadline_at)
  local message = input.message
  local key = message_key(message.id)
  redis.call('HSET', key, 'stage', 'accepting', 'deadline_at', deadline_at,
    'body', message.body, 'fence', 0)
  if challenge_id then redis.call('HSET', key, 'challenge', challenge_id) end
  keep(key, deadline_at + input.keep_message)
  redis.call('ZADD', ACCEPTING, now, message.id)
end

-- Sends in the window, under every key of the lookup ring, up to an instant.
local function sends_in(places, window, to)
  local from = '(' .. string.format('%.0f', now - window)
  local count = 0
  for _, place in ipairs(places) do
    count = count + redis.call('ZCOUNT', place, from, to)
  end
  return count
end

-- When a window has room again, or nil where it has. The same as limits::full_until.
local function full_until(places, window, allowed)
  local from = '(' .. string.format('%.0f', now - window)
  local count = sends_in(places, window, '+inf')
  if count < allowed then return nil end
  if allowed == 0 then return now + window end
  if #places == 1 then
    local send = redis.call('ZRANGEBYSCORE', places[1], from, '+inf', 'WITHSCORES',
      'LIMIT', count - allowed, 1)
    return tonumber(send[2]) + window
  end
  -- A key of the lookup ring was replaced: the sends of both keys count together.
  local sends = {}
  for _, place in ipairs(places) do
    local flat = redis.call('ZRANGEBYSCORE', place, from, '+inf', 'WITHSCORES')
    for i = 2, #flat, 2 do table.insert(sends, tonumber(flat[i])) end
  end
  table.sort(sends)
  return sends[count - allowed + 1] + window
end

-- The refusal of the cap that opens last, or nil.
local function refused()
  local worst
  for _, cap in ipairs(input.counted) do
    for _, window in ipairs({ { HOUR, cap.per_hour }, { DAY, cap.per_day } }) do
      local at = full_until(cap.places, window[1], window[2])
      if at and (not worst or at > worst.retry_at) then
        worst = { outcome = 'refused', scope = cap.scope, retry_at = at }
      end
    end
  end
  return worst
end

-- Which days, hours and slices since 1970 still say something.
local function first_bucket(kind)
  if kind == 's' then return math.floor(now / SLICE) - 5 end
  if kind == 'h' then return math.floor(now / HOUR) - 23 end
  return math.floor(now / DAY) - HISTORY_DAYS
end

-- What a place verified, under every key of the lookup ring. The same as in the guard's ledger.
local function verified(places)
  local sums, days, best = { s = 0, h = 0 }, {}, 0
  for _, place in ipairs(places) do
    for field, count in pairs(read(place) or {}) do
      local kind, bucket = string.sub(field, 1, 1), tonumber(string.sub(field, 2))
      if bucket < first_bucket(kind) then
        -- Too old.
      elseif kind == 'd' then
        days[bucket] = (days[bucket] or 0) + tonumber(count)
      else
        sums[kind] = sums[kind] + tonumber(count)
      end
    end
  end
  for _, count in pairs(days) do best = math.max(best, count) end
  return { hour = sums.s, day = sums.h, best = best }
end

-- The same as Budgets::of.
local function budget_of(window, verified)
  local budget = input.guard.budgets[window]
  local best_part = window == 'hour' and 600 or 100
  return math.max(budget.least,
    math.floor(budget.percent * verified.best / best_part),
    math.floor(budget.percent * verified[window] / 100))
end

-- What the guard says of the new message, or nil where it does not look. The same as guard::Watch.
local function guarded()
  local watch = input.guard
  if not watch then return nil end
  if watch.policy == 'block' then
    return { outcome = 'blocked', reason = 'operator_blocks', retry_at = now + DAY }
  end
  if watch.policy == 'allow' then return { outcome = 'allowed', reason = 'operator_allows' } end
  for _, key in ipairs(watch.number) do
    local at = redis.call('GET', key)
    if at and tonumber(at) > now - KNOWN then
      return { outcome = 'allowed', reason = 'number_verified' }
    end
  end
  local uses, spent, retry_at = {}, false, nil
  for _, place in ipairs(watch.places) do
    local sums = verified(place.verified)
    for _, window in ipairs({ { 'hour', HOUR }, { 'day', DAY } }) do
      local counted = sends_in(place.waiting, window[2], now - RIPE)
      local budget = budget_of(window[1], sums)
      table.insert(uses,
        { scope = place.scope, window = window[1], counted = counted, budget = budget })
      spent = spent or counted >= budget
      -- Whatever is not ripe yet will be by then.
      local at = full_until(place.waiting, window[2], budget)
      if at and (not retry_at or at > retry_at) then retry_at = at end
    end
  end
  local decision = { outcome = 'allowed', reason = 'within_budget', uses = uses }
  if spent then
    decision.reason = 'over_budget'
    if watch.policy == 'observe' then
      decision.outcome = 'observed'
    else
      decision.outcome, decision.retry_at = 'blocked', retry_at
    end
  end
  return decision
end

-- Counts the new message in a place; answers with the line by which it is taken off again.
local function put_send(place)
  redis.call('ZADD', place, now, input.message.id)
  redis.call('ZREMRANGEBYSCORE', place, '-inf', now - DAY)
  redis.call('PEXPIRE', place, DAY + SLACK)
  return place .. ' ' .. input.message.id .. '\n'
end

-- Counts the new message; answers with the lines to take off again when its code is verified.
local function count(decision)
  local refunds = {}
  for _, cap in ipairs(input.counted) do
    local line = put_send(cap.places[1])
    if cap.refunded then table.insert(refunds, line) end
  end
  -- What an operator allows, and what goes to a known number, has no uses and does not count.
  if decision and decision.uses then
    for _, place in ipairs(input.guard.places) do
      table.insert(refunds, put_send(place.waiting[1]))
    end
  end
  return table.concat(refunds)
end

-- Counts a right code: its number is somebody's, and so are the places of it.
local function prove(proof)
  redis.call('SET', proof.number, string.format('%.0f', now), 'PX', KNOWN + SLACK)
  for _, place in ipairs(proof.places) do
    redis.call('HINCRBY', place, 's' .. string.format('%.0f', math.floor(now / SLICE)), 1)
    redis.call('HINCRBY', place, 'd' .. string.format('%.0f', math.floor(now / DAY)), 1)
    local hour = 'h' .. string.format('%.0f', math.floor(now / HOUR))
    if redis.call('HINCRBY', place, hour, 1) == 1 then
      -- Once an hour what says nothing any more is thrown away, and the rest is kept on.
      redis.call('PEXPIRE', place, (HISTORY_DAYS + 1) * DAY + SLACK)
      for _, field in ipairs(redis.call('HKEYS', place)) do
        if tonumber(string.sub(field, 2)) < first_bucket(string.sub(field, 1, 1)) then
          redis.call('HDEL', place, field)
        end
      end
    end
  end
end

-- The queue has it, or it is over: the sealed copy is dropped.
local function confirmed(id)
  redis.call('ZREM', ACCEPTING, id)
  redis.call('HDEL', message_key(id), 'body')
end

-- Ends a message in a public state.
local function finish(id, stage, reason)
  confirmed(id)
  redis.call('HSET', message_key(id), 'stage', stage)
  redis.call('HDEL', message_key(id), 'until', 'route')
  if reason then redis.call('HSET', message_key(id), 'reason', reason) end
end

-- Applies a carrier's receipt. Delivered cannot be taken back, so it wins over a failure in
-- whichever order the two arrive.
local function apply(id, state, reason)
  local key = message_key(id)
  local stage = redis.call('HGET', key, 'stage')
  if not stage or stage == 'accepting' or stage == 'queued' or stage == 'held' then return end
  if state == 'delivered' then
    redis.call('HSET', key, 'stage', 'delivered')
    redis.call('HDEL', key, 'reason')
  elseif stage == 'submitted' then
    redis.call('HSET', key, 'stage', 'failed', 'reason', reason)
  end
end
