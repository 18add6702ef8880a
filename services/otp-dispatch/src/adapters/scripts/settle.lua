-- Records what became of a claimed message.
local key = message_key(input.id)
local message = read(key)
if not message or message.stage ~= 'held' or tonumber(message.fence) ~= input.fence then
  return answer({ recorded = false })
end

local what = input.settle
if what == 'writing' then
  redis.call('HSET', key, 'route', input.route)
elseif what == 'accepted' then
  finish(input.id, 'submitted')
  if input.carrier_id ~= '' then
    local place = input.route .. ':' .. input.carrier_id
    redis.call('SET', 'sp:r:' .. place, input.id)
    keep('sp:r:' .. place, tonumber(message.deadline_at) + input.keep_message)
    local parked = read('sp:p:' .. place)
    redis.call('DEL', 'sp:p:' .. place)
    if parked and now < tonumber(parked.kept_until) then
      apply(input.id, parked.state, parked.reason)
    end
  end
elseif what == 'unknown' then
  finish(input.id, 'outcome_unknown')
elseif what == 'failed' then
  finish(input.id, 'failed', input.reason)
else
  redis.call('HSET', key, 'stage', 'queued')
  redis.call('HDEL', key, 'until', 'route')
end
return answer({ recorded = true })
