-- What a right code proves.

local function bucket(kind, length)
  return kind .. string.format('%.0f', math.floor(now / length))
end

-- Counts a right code: its number is somebody's, and so are the places of it.
local function prove(proof)
  redis.call('SET', proof.number, string.format('%.0f', now), 'PX', KNOWN + SLACK)
  local slice, hour, day = bucket('s', SLICE), bucket('h', HOUR), bucket('d', DAY)
  for _, place in ipairs(proof.places) do
    local in_slice, in_hour, in_day = unpack(redis.call('HMGET', place, slice, hour, day))
    redis.call('HSET', place, slice, (in_slice or 0) + 1, hour, (in_hour or 0) + 1,
      day, (in_day or 0) + 1)
    if not in_hour then
      -- Once an hour what says nothing any more is thrown away, and the rest is kept on.
      redis.call('PEXPIRE', place, (HISTORY_DAYS + 1) * DAY + SLACK)
      for _, field in ipairs(redis.call('HKEYS', place)) do
        if tonumber(string.sub(field, 2)) < first_bucket(string.sub(field, 1, 1)) then
          redis.call('HDEL', place, field)
        end
      end
    end
  end
end
