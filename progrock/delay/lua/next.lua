-- Tell when something can be leased.
--
-- Returns the time, when that is (-1: nothing can), and when the gap after the last lease ends.

local time = now()
local open = tonumber(call('HGET', clock, 'open') or 0) or 0
local soonest = nil
for _, reader in ipairs(each_reader()) do
    local ends = head(reader.name)
    local first = nil
    if reader.till > time and call('ZCARD', at(reader.name)) < reader.slots then
        first = head(reader.channel)
    end
    if ends then
        soonest = math.min(soonest or ends, ends)
    end
    if first then
        soonest = math.min(soonest or first, first)
    end
end
return { time, soonest or -1, open }
