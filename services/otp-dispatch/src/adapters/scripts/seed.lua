-- Raises what was verified on days to what is known from elsewhere.
for _, total in ipairs(input.totals) do
  local field = 'd' .. string.format('%.0f', total.day)
  local known = tonumber(redis.call('HGET', total.place, field) or 0)
  if total.verified > known then
    redis.call('HSET', total.place, field, string.format('%.0f', total.verified))
    redis.call('PEXPIRE', total.place, (HISTORY_DAYS + 1) * DAY + SLACK)
  end
end
if input.complete then redis.call('SET', 'sp:seeded', 1) end
return answer({})
