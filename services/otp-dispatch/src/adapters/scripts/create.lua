-- Creates a challenge under its caps, with its first message.
local repeated = known()
if repeated then return answer(repeated) end
local full = refused()
if full then return answer(full) end
local decision = guarded()
if decision and decision.outcome == 'blocked' then
  return answer({ outcome = 'guarded', guard = decision })
end

local refunds = count(decision)
local key = challenge_key(input.id)
redis.call('HSET', key,
  'binding', input.binding[1], 'reference', input.reference,
  'expires_at', input.expires_at, 'sent_at', now, 'resend_at', input.resend_at,
  'sends_left', input.sends_left, 'tries', input.tries,
  'newest', input.message.id, 'refunds', refunds)
keep(key, input.expires_at + input.keep_challenge)
accept(input.id, input.message.deadline_at)
remember(input.id)
-- As view() says it, of what was just written.
local shown = {
  id = input.id,
  message_id = input.message.id,
  reference = input.reference,
  expires_at = input.expires_at,
  resend_at = input.resend_at,
  sends_left = input.sends_left,
  tries_left = input.tries,
  message_state = public_state({ stage = 'accepting' }),
  phase = phase(input),
}
return answer({ outcome = 'created', view = shown, guard = decision })
