-- Forget dead entries; the others are at work.
--
-- ARGV[2…] keys
--
-- Returns how many were dead.

local found = 0
for i = 2, #ARGV do
    local key = ARGV[i]
    if call('ZREM', dead, key) == 1 then
        found = found + 1
        call('HDEL', reasons, key)
        call('HDEL', entries, key)
        call('SREM', nudged, key)
    end
end
return found
