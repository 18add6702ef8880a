-- Takes a message for sending, or says why not.
local key = message_key(input.id)
local message = read(key)
if not message then return answer({ claim = 'state_lost' }) end
local stage = message.stage

local function hold(claim)
  claim.fence = redis.call('HINCRBY', key, 'fence', 1)
  redis.call('HSET', key, 'stage', 'held', 'until', now + input.lease)
  return answer(claim)
end

if stage == 'held' then
  if tonumber(message['until']) > now then return answer({ claim = 'held' }) end
  if message.route then return hold({ claim = 'doubt', route = message.route }) end
elseif stage ~= 'accepting' and stage ~= 'queued' then
  return answer({ claim = 'settled', state = public_state(message) })
end

local dead
if tonumber(message.deadline_at) <= now then
  dead = 'expired'
elseif message.challenge then
  local challenge = read(challenge_key(message.challenge))
  -- A challenge that the store has lost can be answered by nobody.
  local at = challenge and phase(challenge) or 'expired'
  if at == 'expired' then
    dead = 'expired'
  elseif at ~= 'live' then
    dead = 'suppressed'
  end
end
if dead then
  finish(input.id, dead)
  return answer({ claim = dead })
end
-- It came out of the queue, so the queue has it, whether its confirmation was heard or not.
confirmed(input.id)
return hold({ claim = 'send' })
