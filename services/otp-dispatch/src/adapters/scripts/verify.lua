-- Decides one attempt.
local challenge = bound(input.id, input.binding)
if not challenge then return answer({ verdict = 'not_found' }) end
local key = challenge_key(input.id)
local field = 'answer ' .. input.request_id

if challenge[field] then return challenge[field] end
local tries = tonumber(challenge.tries)
if challenge.cancelled or tries == 0 then return answer({ verdict = 'ended' }) end

local decided
if not input.right then
  tries = redis.call('HINCRBY', key, 'tries', -1)
  decided = { verdict = 'wrong', tries_left = tries }
elseif challenge.used then
  decided = { verdict = 'used' }
elseif now >= tonumber(challenge.expires_at) then
  decided = { verdict = 'expired' }
else
  redis.call('HSET', key, 'used', now)
  for place, message_id in string.gmatch(challenge.refunds, '(%S+) (%S+)\n') do
    redis.call('ZREM', place, message_id)
  end
  redis.call('HDEL', key, 'refunds')
  prove(input.proof)
  decided = { verdict = 'right' }
end
redis.call('HSET', key, field, answer(decided))
return answer(decided)
