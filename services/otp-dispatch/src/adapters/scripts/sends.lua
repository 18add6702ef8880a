-- The caps, and what the guard says.

-- Sends in the window, under every key of the lookup ring, up to an instant.
local function sends_in(places, window, to)
  local from = '(' .. string.format('%.0f', now - window)
  local count = 0
  for _, place in ipairs(places) do
    count = count + redis.call('ZCOUNT', place, from, to)
  end
  return count
end

-- When a window has room again, or nil where it has. The same as limits::full_until.
local function full_until(places, window, allowed)
  local from = '(' .. string.format('%.0f', now - window)
  local count = sends_in(places, window, '+inf')
  if count < allowed then return nil end
  if allowed == 0 then return now + window end
  if #places == 1 then
    local send = redis.call('ZRANGEBYSCORE', places[1], from, '+inf', 'WITHSCORES',
      'LIMIT', count - allowed, 1)
    return tonumber(send[2]) + window
  end
  -- A key of the lookup ring was replaced: the sends of both keys count together.
  local sends = {}
  for _, place in ipairs(places) do
    local flat = redis.call('ZRANGEBYSCORE', place, from, '+inf', 'WITHSCORES')
    for i = 2, #flat, 2 do table.insert(sends, tonumber(flat[i])) end
  end
  table.sort(sends)
  return sends[count - allowed + 1] + window
end

-- The refusal of the cap that opens last, or nil.
local function refused()
  local worst
  for _, cap in ipairs(input.counted) do
    -- No hour holds more than its day, so one question answers for both while neither is full.
    local in_day = sends_in(cap.places, DAY, '+inf')
    for _, window in ipairs({ { HOUR, cap.per_hour }, { DAY, cap.per_day } }) do
      local at = in_day >= window[2] and full_until(cap.places, window[1], window[2])
      if at and (not worst or at > worst.retry_at) then
        worst = { outcome = 'refused', scope = cap.scope, retry_at = at }
      end
    end
  end
  return worst
end

-- What a place verified, under every key of the lookup ring. The same as in the guard's ledger.
local function verified(places)
  local sums, days, best = { s = 0, h = 0 }, {}, 0
  for _, place in ipairs(places) do
    for field, count in pairs(read(place) or {}) do
      local kind, bucket = string.sub(field, 1, 1), tonumber(string.sub(field, 2))
      if bucket < first_bucket(kind) then
        -- Too old.
      elseif kind == 'd' then
        days[bucket] = (days[bucket] or 0) + tonumber(count)
      else
        sums[kind] = sums[kind] + tonumber(count)
      end
    end
  end
  for _, count in pairs(days) do best = math.max(best, count) end
  return { hour = sums.s, day = sums.h, best = best }
end

-- The same as Budgets::of.
local function budget_of(window, verified)
  local budget = input.guard.budgets[window]
  local best_part = window == 'hour' and 600 or 100
  return math.max(budget.least,
    math.floor(budget.percent * verified.best / best_part),
    math.floor(budget.percent * verified[window] / 100))
end

-- What the guard says of the new message, or nil where it does not look. The same as guard::Watch.
local function guarded()
  local watch = input.guard
  if not watch then return nil end
  if watch.policy == 'block' then
    return { outcome = 'blocked', reason = 'operator_blocks', retry_at = now + DAY }
  end
  if watch.policy == 'allow' then return { outcome = 'allowed', reason = 'operator_allows' } end
  for _, key in ipairs(watch.number) do
    local at = redis.call('GET', key)
    if at and tonumber(at) > now - KNOWN then
      return { outcome = 'allowed', reason = 'number_verified' }
    end
  end
  local uses, spent, retry_at = {}, false, nil
  for _, place in ipairs(watch.places) do
    local sums = verified(place.verified)
    for _, window in ipairs({ { 'hour', HOUR }, { 'day', DAY } }) do
      local counted = sends_in(place.waiting, window[2], now - RIPE)
      local budget = budget_of(window[1], sums)
      table.insert(uses,
        { scope = place.scope, window = window[1], counted = counted, budget = budget })
      spent = spent or counted >= budget
      -- Whatever is not ripe yet will be by then.
      local at = full_until(place.waiting, window[2], budget)
      if at and (not retry_at or at > retry_at) then retry_at = at end
    end
  end
  local decision = { outcome = 'allowed', reason = 'within_budget', uses = uses }
  if spent then
    decision.reason = 'over_budget'
    if watch.policy == 'observe' then
      decision.outcome = 'observed'
    else
      decision.outcome, decision.retry_at = 'blocked', retry_at
    end
  end
  return decision
end

-- Counts the new message in a place; answers with the line by which it is taken off again.
local function put_send(place)
  redis.call('ZADD', place, now, input.message.id)
  redis.call('ZREMRANGEBYSCORE', place, '-inf', now - DAY)
  redis.call('PEXPIRE', place, DAY + SLACK)
  return place .. ' ' .. input.message.id .. '\n'
end

-- Counts the new message; answers with the lines to take off again when its code is verified.
local function count(decision)
  local refunds = {}
  for _, cap in ipairs(input.counted) do
    local line = put_send(cap.places[1])
    if cap.refunded then table.insert(refunds, line) end
  end
  -- What an operator allows, and what goes to a known number, has no uses and does not count.
  if decision and decision.uses then
    for _, place in ipairs(input.guard.places) do
      table.insert(refunds, put_send(place.waiting[1]))
    end
  end
  return table.concat(refunds)
end
