-- Give entries back, if the receipts are still theirs.
--
-- ARGV[2]  channel: theirs
-- ARGV[3]  where they are: with a reader, or at the channel if they were never leased
-- ARGV[4]  MessagePack of a list of {key, receipt, what, more}. What is a delay, and more says whether the next look
--          is nudged; or it is "dead", and more says why; or it is "done".
-- ARGV[5…] for each, its new value; an empty one leaves what is there
--
-- Returns for each 1 if it was accepted, else 0.

local time = now()
local channel, from = ARGV[2], ARGV[3]
local items = cmsgpack.unpack(ARGV[4])
local keys, seen = {}, {}
for i = 1, #items do
    keys[i] = items[i][1]
end
local found, nudges = scores(from, keys), marks(keys)
local first = head(channel)
-- A script that fails is not undone: what will be written to is read before, so that a key of the wrong type is found
-- in time.
call('HLEN', entries)
call('ZCARD', dead)
call('HLEN', reasons)
local slots = parse_reader(call('HGET', readers, from) or '')
local full = slots and call('ZCARD', at(from)) >= slots
local accepted = {}
local gone, due, values, done, died, why, calmed, marked = {}, {}, {}, {}, {}, {}, {}, {}
local goes, again, changed = 0, 0, 0
local soonest = math.huge
for i = 1, #items do
    local key, receipt, what, more = unpack(items[i])
    local value = ARGV[4 + i]
    -- A receipt is good once, also within a batch.
    accepted[i] = found[i] == receipt and not seen[key] and 1 or 0
    if accepted[i] == 1 then
        seen[key] = true
        goes = goes + 1
        gone[goes] = key
        local mark = nudges and nudges[i] == 1
        if type(what) == 'number' then
            -- Nudged while it was running: due now. What was only handed has not been looked at, and keeps its delay.
            local running = from ~= channel and receipt % 2 == 1
            local when = time + (running and mark and 0 or what)
            again = again + 2
            due[again - 1], due[again] = when, key
            if when < soonest then
                soonest = when
            end
            if more then
                marked[#marked + 1] = key
            end
        elseif what == 'done' then
            done[#done + 1] = key
            if mark then
                calmed[#calmed + 1] = key
            end
        else
            died[#died + 1], died[#died + 2] = time, key
            why[#why + 1], why[#why + 2] = key, more
        end
        if value ~= '' and what ~= 'done' then
            changed = changed + 2
            values[changed - 1], values[changed] = key, value
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
if first and soonest >= first then
    soonest = math.huge -- who sleeps until the first knows already
end
if full and first and goes > 0 then
    soonest = math.min(soonest, first) -- there was no slot for it, now there is
end
if soonest < math.huge then
    wake(soonest)
end
return accepted
