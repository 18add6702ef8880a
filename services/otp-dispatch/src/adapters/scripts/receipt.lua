-- Applies a carrier's final receipt, or parks it until the carrier's answer is recorded.
local place = input.route .. ':' .. input.carrier_id
local id = redis.call('GET', 'sp:r:' .. place)
if id then
  apply(id, input.state, input.reason)
  return answer({})
end
local key = 'sp:p:' .. place
local parked = read(key)
local live = parked and now < tonumber(parked.kept_until)
if not (live and parked.state == 'delivered') then
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', input.state, 'reason', input.reason,
    'kept_until', now + input.keep_parked)
  keep(key, now + input.keep_parked)
end
return answer({})
