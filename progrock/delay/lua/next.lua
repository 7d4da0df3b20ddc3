-- Tell when something can be leased.
--
-- Returns the time, when that is (-1: nothing can), and when the gap after the last lease ends.

local time = now()
return { time, soonest(time, each_reader()), opens(call('HGET', clock, 'open'), time) }
