-- Make dead entries due now, as if they were new.
--
-- ARGV[2…] keys
--
-- Returns how many were dead. One whose value makes no sense stays dead.

local time = now()
local found = 0
for i = 2, #ARGV do
    local key = ARGV[i]
    local value = call('ZSCORE', dead, key) and call('HGET', entries, key)
    local _, channel, message = parse(value or '')
    if channel then
        found = found + 1
        call('HDEL', reasons, key)
        call('SADD', channels, channel)
        call('ZADD', at(channel), time, key)
        call('HSET', entries, key, '1 ' .. channel .. ' ' .. message)
        call('ZREM', dead, key)
    end
end
if found > 0 then
    wake(time)
end
return found
