-- Give entries back, if the receipts are still theirs.
--
-- ARGV[2]  channel: theirs
-- ARGV[3]  where they are: with a reader, or at the channel if they were never leased
-- ARGV[4…] key, receipt, what, more, value, and so on. What is "done"; or "dead", and more says why; or a delay, and
--          more is "1" if the next look is nudged. An empty value leaves the entry's as it is.
--
-- Returns for each 1 if it was accepted, else 0.

local time = now()
local channel, from = ARGV[2], ARGV[3]
local keys, receipts = {}, {}
for i = 4, #ARGV, 5 do
    keys[#keys + 1], receipts[#receipts + 1] = ARGV[i], tonumber(ARGV[i + 1])
end
local found, nudges = scores(from, keys), marks(keys)
local first = head(channel)
local slots = parse_reader(call('HGET', readers, from) or '')
local full = slots and call('ZCARD', at(from)) >= slots
local accepted = {}
local gone, due, values, done, died, why, calmed, marked = {}, {}, {}, {}, {}, {}, {}, {}
local soonest = nil
for i = 1, #keys do
    local key, n = keys[i], 4 + (i - 1) * 5
    local what, more, value = ARGV[n + 2], ARGV[n + 3], ARGV[n + 4]
    accepted[i] = found[i] and found[i] == receipts[i] and 1 or 0
    if accepted[i] == 1 then
        found[i] = false -- a receipt is good once, also within a batch
        gone[#gone + 1] = key
        if what == 'done' then
            done[#done + 1] = key
            if nudges and nudges[i] == 1 then
                calmed[#calmed + 1] = key
            end
        elseif what == 'dead' then
            died[#died + 1], died[#died + 2] = time, key
            why[#why + 1], why[#why + 2] = key, more
        else
            -- Nudged while it was running: due now. What was only handed has not been looked at, and keeps its delay.
            local running = from ~= channel and receipts[i] % 2 == 1
            local when = time + (running and nudges and nudges[i] == 1 and 0 or tonumber(what))
            due[#due + 1], due[#due + 2] = when, key
            soonest = math.min(soonest or when, when)
            if more == '1' then
                marked[#marked + 1] = key
            end
        end
        if value ~= '' and what ~= 'done' then
            values[#values + 1], values[#values + 2] = key, value
        end
    end
end
batch('ZREM', at(from), gone)
batch('HSET', entries, values)
batch('ZADD', at(channel), due)
batch('HDEL', entries, done)
batch('SREM', nudged, calmed)
batch('SADD', nudged, marked)
batch('ZADD', dead, died)
batch('HSET', reasons, why)
if soonest and first and soonest >= first then
    soonest = nil -- who sleeps until the first knows already
end
if full and first and #gone > 0 then
    soonest = math.min(soonest or first, first) -- there was no slot for it, now there is
end
if soonest then
    wake(soonest)
end
return accepted
