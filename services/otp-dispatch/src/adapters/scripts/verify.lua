-- Decides one attempt. Two commands for a wrong code, and for a right one as few more as what it proves
-- takes: this script runs for every code that anybody types.
local key = challenge_key(input.id)
local field = 'answer ' .. input.request_id
local binding, tries, expires_at, used, cancelled, refunds, answered = unpack(redis.call('HMGET',
  key, 'binding', 'tries', 'expires_at', 'used', 'cancelled', 'refunds', field))

local is_bound = false
for _, hash in ipairs(input.binding) do is_bound = is_bound or binding == hash end
if not is_bound then return answer({ verdict = 'not_found' }) end
if answered then return answered end
tries = tonumber(tries)
if cancelled or tries == 0 then return answer({ verdict = 'ended' }) end

-- Stores what it changes, and the answer, for a caller who does not hear it.
local function decided(verdict, ...)
  local told = answer(verdict)
  redis.call('HSET', key, field, told, ...)
  return told
end

if not input.proof then
  return decided({ verdict = 'wrong', tries_left = tries - 1 }, 'tries', tries - 1)
end
if used then return decided({ verdict = 'used' }) end
if now >= tonumber(expires_at) then return decided({ verdict = 'expired' }) end
local told = decided({ verdict = 'right' }, 'used', now)
for place, message_id in string.gmatch(refunds or '', '(%S+) (%S+)\n') do
  redis.call('ZREM', place, message_id)
end
prove(input.proof)
return told
