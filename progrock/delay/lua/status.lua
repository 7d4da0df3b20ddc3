-- Count what is in the store.
--
-- Returns the time, how many entries are waiting, overdue, held and dead, for how long the first of those that are overdue
-- has been, then the schedulers, and then the readers: name, channel, slots, taken, and so on.

local time = now()
local waiting, overdue, held, first = 0, 0, 0, time
local served, present = {}, {}
for _, reader in ipairs(each_reader()) do
    served[reader.channel] = true
    first = math.min(first, head(reader.name) or first)
    local ended = call('ZCOUNT', at(reader.name), '-inf', time)
    local taken = call('ZCARD', at(reader.name)) - ended
    waiting, overdue, held = waiting + ended, overdue + ended, held + taken
    if reader.till > time then
        local n = #present
        present[n + 1], present[n + 2], present[n + 3], present[n + 4] = reader.name, reader.channel, reader.slots, taken
    end
end
for _, channel in ipairs(call('SMEMBERS', channels)) do
    local here = call('ZCARD', at(channel))
    waiting = waiting + here
    first = math.min(first, head(channel) or first)
    overdue = overdue + call('ZCOUNT', at(channel), '-inf', time)
    if here == 0 and not served[channel] then
        call('SREM', channels, channel)
    end
end
local alive = call('ZRANGE', schedulers, '(' .. string.format('%.0f', time), '+inf', 'BYSCORE')
return { time, waiting, overdue, held, call('ZCARD', dead), time - math.max(first, 0), alive, present }
