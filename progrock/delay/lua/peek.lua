-- Tell how entries stand.
--
-- ARGV[2…] keys
--
-- Returns the time, and for each key: value, "waiting", "nudged", "held" or "dead", score, reason; or four times nothing.

local reply = { now() }
local known = each_reader()
for i = 2, #ARGV do
    local key, n = ARGV[i], #reply
    local value = call('HGET', entries, key)
    local _, channel = parse(value or '')
    local where, score = nil, nil
    if value then
        where, score = locate(key, channel, known)
    end
    if where == 'waiting' and call('SISMEMBER', nudged, key) == 1 then
        where = 'nudged'
    end
    if where then
        local reason = where == 'dead' and call('HGET', reasons, key) or ''
        reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = value, where, score, reason
    else
        reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = '', '', 0, ''
    end
end
return reply
