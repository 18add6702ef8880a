-- Messages to publish again.
local handed = {}
local due = redis.call('ZRANGEBYSCORE', ACCEPTING, '-inf', now - input.older_than, 'LIMIT', 0,
  input.limit)
for _, id in ipairs(due) do
  local message = read(message_key(id))
  if not message or message.stage ~= 'accepting' then
    redis.call('ZREM', ACCEPTING, id)
  elseif tonumber(message.deadline_at) <= now then
    finish(id, 'expired')
  else
    redis.call('ZADD', ACCEPTING, now, id)
    table.insert(handed, { body = message.body, deadline_at = tonumber(message.deadline_at) })
  end
end
-- An empty table would be encoded as an object.
if #handed == 0 then return '[]' end
return answer(handed)
