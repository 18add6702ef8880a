-- The challenge with its newest message.
local challenge = bound(input.id, input.binding)
return answer({ view = challenge and view(input.id, challenge) })
