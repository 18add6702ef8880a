-- Whether the store holds the guard's history.
return answer({ seeded = redis.call('EXISTS', 'sp:seeded') == 1 })
