-- List dead entries, those first that died first.
--
-- ARGV[2]  how many at most
--
-- Returns for each: key, when it died, value, reason.

local reply = {}
local some = call('ZRANGE', dead, 0, ARGV[2] - 1, 'WITHSCORES')
for i = 1, #some, 2 do
    local n = #reply
    reply[n + 1], reply[n + 2] = some[i], tonumber(some[i + 1])
    reply[n + 3] = call('HGET', entries, some[i]) or ''
    reply[n + 4] = call('HGET', reasons, some[i]) or ''
end
return reply
