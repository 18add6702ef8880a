-- Stores a notice as accepting.
local repeated = known()
if repeated then return answer(repeated) end
accept(nil, input.message.deadline_at)
remember(nil)
return answer({ outcome = 'new' })
