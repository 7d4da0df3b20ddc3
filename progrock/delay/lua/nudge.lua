-- Ask for a look: what waits is due now, what is held as soon as it is settled.
--
-- ARGV[2…] keys
--
-- Returns how many of them there are.

local time = now()
local found, moved = 0, false
for i = 2, #ARGV do
    local key = ARGV[i]
    local value = call('HGET', entries, key)
    if value then
        found = found + 1
        call('SADD', nudged, key)
        local _, channel = parse(value)
        local due = channel and call('ZSCORE', at(channel), key)
        if due and tonumber(due) > time then
            call('ZADD', at(channel), time, key)
            moved = true
        end
    end
end
if moved then
    wake(time)
end
return found
