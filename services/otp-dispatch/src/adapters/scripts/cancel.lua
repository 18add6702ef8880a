-- Ends a challenge that is not used.
local challenge = bound(input.id, input.binding)
if challenge and not challenge.used then
  redis.call('HSET', challenge_key(input.id), 'cancelled', 1)
end
return answer({})
