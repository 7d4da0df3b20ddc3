-- Ask for calls to a service, and give back what is over.
--
-- ARGV[2]  rate: calls a second, 0 for any
-- ARGV[3]  burst: calls at once, if there is a rate
-- ARGV[4]  concurrency: calls under way, 0 for any
-- ARGV[5]  duration of a permit
-- ARGV[6]  duration of a call, if none has said so yet
-- ARGV[7]  the longest promise
-- ARGV[8]  MessagePack of an ask: {first, due, fresh, owed, permit, finished as {name, calls} each, took}
--
-- Returns how many of first, due and fresh may be made; and how long it is until the next call can be made, until the
-- end of the queue, and from one turn to the next.

local rate, burst, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hold, guess, promise = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local ask = cmsgpack.unpack(ARGV[8])
local wanted_first, wanted_due, wanted_fresh, owed, permit = ask[1], ask[2], ask[3], ask[4], ask[5]
local finished, spent = ask[6], ask[7]
local time = now()

local kept = kept_at('HMGET', bucket, 'tokens', 'at', 'turn', 'took')
local tokens, at = number(kept[1], burst), number(kept[2], time)
local turn, took = number(kept[3], time), math.max(0, math.min(hold, number(kept[4], 0)))
if time < at then
    turn = turn + time - at -- a clock that steps back takes promises along
end
turn = math.min(turn, time + promise)
if spent > 0 then
    took = took > 0 and (took * 7 + spent) / 8 or spent
end

local wanted = wanted_first + wanted_due + wanted_fresh
local room, gap, front = wanted, 0, 0
if rate > 0 then
    -- Of many that could not wait not all are waited for: jobs that nobody looks at would end by their deadlines, each
    -- be stopped by a call that could not wait either, and so on.
    tokens = math.min(burst, tokens + math.max(0, time - at) * rate / 1000000) - owed
    tokens = math.max(-rate * promise / 1000000, tokens)
    room = math.min(room, math.floor(tokens + 0.000001))
    gap = 1000000 / rate
end
if most > 0 then
    local over = {}
    for _, each in ipairs(finished) do
        over[each[1]] = (over[each[1]] or 0) + each[2]
    end
    local all, held = kept_at('HGETALL', permits), 0
    for i = 1, #all, 2 do
        local calls, till = string.match(all[i + 1], '^(%d+) (%d+)$')
        calls, till = tonumber(calls or 0) - (over[all[i]] or 0), tonumber(till or 0)
        if calls < 1 or till <= time or till > time + hold then
            call('HDEL', permits, all[i])
        else
            held = held + calls
            if over[all[i]] then
                call('HSET', permits, all[i], string.format('%.0f %.0f', calls, till))
            end
        end
    end
    room = math.min(room, most - held)
    gap = math.max(gap, (took > 0 and took or guess) / most)
end
room = math.max(0, room)

local first = math.min(wanted_first, room)
local due = math.min(wanted_due, room - first)
local fresh = turn <= time and math.min(wanted_fresh, room - first - due) or 0
local granted = first + due + fresh
if rate > 0 then
    tokens = tokens - granted
    front = math.max(0, 1 - tokens) * 1000000 / rate
end
if most > 0 then
    if granted > 0 then
        call('HSET', permits, permit, string.format('%.0f %.0f', granted, time + hold))
        call('PEXPIRE', permits, math.ceil(hold / 1000))
    end
    if room < wanted then
        front = math.max(front, gap)
    end
end
-- The first whose promise did not come true waits for the next call, and does not join the end again.
local behind = math.max(0, wanted_due - due - 1) + wanted_fresh - fresh
local last = math.min(math.max(turn, time + front), time + promise)
if behind > 0 then
    turn = math.min(last + behind * gap, time + promise)
end
call('HSET', bucket, 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', time),
    'turn', string.format('%.0f', turn), 'took', string.format('%.0f', took))
-- An hour after the last turn, a bucket that is gone is as good as one that is full.
local idle = rate > 0 and burst / rate * 1000 or 0
call('PEXPIRE', bucket, math.ceil(math.max(0, turn - time) / 1000 + idle + 3600000))
return { first, due, fresh, math.ceil(front), math.ceil(last - time), math.ceil(gap) }
