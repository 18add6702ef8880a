-- A new message, and the idempotency key that made it.

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

-- The last fields of what belongs to a challenge; a notice belongs to none.
local function of_challenge(challenge_id)
  if challenge_id then return 'challenge', challenge_id end
end

local function remember(challenge_id)
  local key = input.idempotency
  redis.call('DEL', key)
  redis.call('HSET', key, 'body_hash', input.body_hash, 'message', input.message.id,
    'kept_until', now + input.keep_idempotency, of_challenge(challenge_id))
  keep(key, now + input.keep_idempotency)
end

-- Stores the new message as accepting.
local function accept(challenge_id, deadline_at)
  local message = input.message
  local key = message_key(message.id)
  redis.call('HSET', key, 'stage', 'accepting', 'deadline_at', deadline_at,
    'body', message.body, 'fence', 0, of_challenge(challenge_id))
  keep(key, deadline_at + input.keep_message)
  redis.call('ZADD', ACCEPTING, now, message.id)
end
