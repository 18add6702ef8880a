-- How far a message is, and how a challenge is shown.

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
