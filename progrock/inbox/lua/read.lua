-- Return of each job the milliseconds since anything was said, and what was; nothing of one of which nothing was.
--
-- ARGV[2…]  the jobs

local time = now()
local found = {}
for i = 2, #ARGV do
    local said = keys_of(ARGV[i])
    local at = call('HGET', said, 'at')
    found[i - 1] = {}
    if at then
        if (tonumber(at) or 0) > time then
            -- The clock was put back: else there is no silence until it is as late again.
            call('HSET', said, 'at', time)
        end
        found[i - 1] = call('HGETALL', said)
        table.insert(found[i - 1], 1, math.max(0, time - (tonumber(at) or 0)))
    end
end
return found
