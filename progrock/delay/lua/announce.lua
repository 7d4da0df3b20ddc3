-- Say how many entries of a channel a reader takes at a time.
--
-- ARGV[2]  channel
-- ARGV[3]  reader
-- ARGV[4]  slots; 0 signs off, and what the reader was handed and has not renewed waits again, due now
-- ARGV[5]  how long this holds

local time = now()
local channel, reader, slots, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local before, till = parse_reader(call('HGET', readers, reader) or '')
call('HSET', readers, reader, string.format('%d %.0f %s', slots, slots > 0 and time + ttl or 0, channel))
local first = slots > 0 and (not before or slots > before or till <= time) and head(channel)
if first then
    wake(first)
end
if slots == 0 then
    local held = call('ZRANGE', at(reader), '(' .. string.format('%.0f', time), '+inf', 'BYSCORE', 'WITHSCORES')
    local gone, due = {}, {}
    for i = 1, #held, 2 do
        if held[i + 1] % 2 == 0 then
            gone[#gone + 1] = held[i]
            due[#due + 1], due[#due + 2] = time, held[i]
        end
    end
    batch('ZREM', at(reader), gone)
    batch('ZADD', at(channel), due)
    if #gone > 0 then
        wake(time)
    end
end
