-- Insert entries.
--
-- ARGV[2]  "1" to replace what is there, "0" to leave it alone
-- ARGV[3]  MessagePack of a list of {key, channel, delay}
-- ARGV[4…] for each, its value
--
-- Returns for each its due time, 0 if its key was there.

local time = now()
local replace = ARGV[2] == '1'
local known = each_reader()
local heads, soonest = {}, nil
local receipts = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[3])) do
    local key, channel, delay = unpack(item)
    local there = call('HGET', entries, key)
    if there then
        local _, where = parse(there)
        -- A value that is nowhere else is half an entry, made by hands or a restore: as good as none.
        if replace or not locate(key, where, known) then
            forget(key, known)
            there = false
        end
    elseif locate(key, nil, known) then
        forget(key, known) -- the other half of one: whoever holds it must not go on
    end
    if there then
        receipts[#receipts + 1] = 0
    else
        local due = time + delay
        if heads[channel] == nil then
            -- Known before it is looked at: should it be of the wrong type, mend.lua must find it.
            call('SADD', channels, channel)
            heads[channel] = head(channel) or math.huge
        end
        call('HSET', entries, key, ARGV[3 + i])
        call('ZADD', at(channel), due, key)
        receipts[#receipts + 1] = due
        if due < heads[channel] then
            heads[channel] = due
            soonest = math.min(soonest or due, due)
        end
    end
end
if soonest then
    wake(soonest)
end
return receipts
