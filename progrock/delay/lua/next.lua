-- Tell when something can be leased.
--
-- Returns the time, when that is (-1: nothing can), and when the gap after the last lease ends.

local time = now()
local open = tonumber(call('HGET', clock, 'open') or 0) or 0
return { time, soonest(time, each_reader()), open }
