-- The queue confirmed a message.
local key = message_key(input.id)
if redis.call('HGET', key, 'stage') == 'accepting' then
  redis.call('HSET', key, 'stage', 'queued')
end
confirmed(input.id)
return answer({})
