-- Sends the same code again under a new message.
local challenge = bound(input.id, input.binding)
if not challenge then return answer({ outcome = 'not_found' }) end
local repeated = known()
if repeated then return answer(repeated) end
if phase(challenge) ~= 'live' then return answer({ outcome = 'ended' }) end
if tonumber(challenge.sends_left) == 0 then return answer({ outcome = 'no_sends_left' }) end
local resend_at = opens_at(challenge)
if now < resend_at then return answer({ outcome = 'too_early', at = resend_at }) end
local full = refused()
if full then return answer(full) end
local decision = guarded()
if decision and decision.outcome == 'blocked' then
  return answer({ outcome = 'guarded', guard = decision })
end

local refunds = count(decision)
local key = challenge_key(input.id)
local deadline_at = math.min(input.message.deadline_at, tonumber(challenge.expires_at))
redis.call('HSET', key, 'sent_at', now, 'resend_at', input.resend_at,
  'newest', input.message.id, 'refunds', challenge.refunds .. refunds)
redis.call('HINCRBY', key, 'sends_left', -1)
accept(input.id, deadline_at)
remember(input.id)
return answer({
  outcome = 'accepted',
  view = view(input.id, read(key)),
  deadline_at = deadline_at,
  guard = decision,
})
