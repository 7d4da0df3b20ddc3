-- Say how many entries of a channel a reader takes at a time.
--
-- ARGV[2]  channel
-- ARGV[3]  reader
-- ARGV[4]  slots; 0 signs off
-- ARGV[5]  how long this holds

local time = now()
local channel, reader, slots, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local before, till = parse_reader(call('HGET', readers, reader) or '')
call('HSET', readers, reader, string.format('%d %.0f %s', slots, slots > 0 and time + ttl or 0, channel))
local first = slots > 0 and (not before or slots > before or till <= time) and head(channel)
if first then
    wake(first)
end
