-- Hand what is due, oldest first, to readers with free slots.
--
-- ARGV[2]  limit: how many at most
-- ARGV[3]  duration of the hold
-- ARGV[4]  gap: how long nothing is given after a lease that gave less than its limit
--
-- Returns the marker, '' if there is none; the time, when something can be leased next, and when the gap ends, as
-- next.lua does; the receipt of all of them; and for each: reader, due, key, value, 1 if it is nudged.

local time = now()
local limit, duration, gap = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = call('HMGET', clock, 'stood', 'open')
-- Even: handed. The hold ends after now, so no receipt of it can have been given before.
local receipt = time + duration
receipt = receipt - receipt % 2
local open = opens(kept[2], time)
local known = each_reader()
local reply = { kept[1] or '', time, -1, open, receipt }
if open > time then
    reply[3] = soonest(time, known)
    return reply
end

-- A hold that has ended: the entry waits again, due since then. A run that was lost is counted.
local function release(reader)
    local ended = call('ZRANGE', at(reader.name), '-inf', time, 'BYSCORE', 'WITHSCORES')
    for i = 1, #ended, 2 do
        local key, score = ended[i], ended[i + 1]
        call('ZADD', at(reader.channel), score, key)
        call('ZREM', at(reader.name), key)
        local value = score % 2 == 1 and call('HGET', entries, key)
        local attempt, channel, message = parse(value or '')
        if attempt then
            call('HSET', entries, key, string.format('%d %s ', attempt + 1, channel) .. message)
        end
    end
end

local offers, names = {}, {}
for _, reader in ipairs(known) do
    release(reader)
    local taken = call('ZCARD', at(reader.name))
    reader.free = reader.slots - taken
    if reader.till <= time then
        if taken == 0 then
            call('HDEL', readers, reader.name)
        end
    elseif reader.free > 0 then
        if not offers[reader.channel] then
            offers[reader.channel] = { total = 0 }
            names[#names + 1] = reader.channel
        end
        local offer = offers[reader.channel]
        offer[#offer + 1] = reader
        offer.total = offer.total + reader.free
    end
end

-- What is due, by channel, in three lists side by side.
local keys, dues, from, count = {}, {}, {}, 0
for _, channel in ipairs(names) do
    local most = math.min(limit, offers[channel].total)
    local some = call('ZRANGE', at(channel), '-inf', time, 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
    for i = 1, #some, 2 do
        count = count + 1
        keys[count], dues[count], from[count] = some[i], some[i + 1], channel
    end
end
if #names > 1 then
    local order = {}
    for i = 1, count do
        order[i] = { tonumber(dues[i]), keys[i], from[i], dues[i] }
    end
    table.sort(order, function(a, b)
        return a[1] < b[1] or a[1] == b[1] and a[2] < b[2]
    end)
    count = math.min(limit, count)
    keys = {} -- the tail must go
    for i = 1, count do
        keys[i], from[i], dues[i] = order[i][2], order[i][3], order[i][4]
    end
end

-- One reader is filled before the next gets any: a message for each would cost more than it brings.
local function freest(offer)
    local best = offer[1]
    for _, reader in ipairs(offer) do
        if reader.free > best.free or reader.free == best.free and reader.name > best.name then
            best = reader
        end
    end
    return best
end

local score = string.format('%.0f', receipt)
local nudges = count > 0 and marks(keys)
local removed, added, size = {}, {}, #reply
for i = 1, count, CHUNK do
    local values = call('HMGET', entries, unpack(keys, i, math.min(i + CHUNK - 1, count)))
    for j = 1, #values do
        local n = i + j - 1
        local key, channel = keys[n], from[n]
        local gone = removed[channel]
        if not gone then
            gone = { n = 0 }
            removed[channel] = gone
        end
        gone.n = gone.n + 1
        gone[gone.n] = key
        -- Without a value there is nothing to hand out: half an entry is forgotten.
        if values[j] then
            local offer = offers[channel]
            local reader = offer.filling
            if not reader or reader.free == 0 then
                reader = freest(offer)
                offer.filling = reader
            end
            reader.free = reader.free - 1
            local held = added[reader.name]
            if not held then
                held = { n = 0 }
                added[reader.name] = held
            end
            held[held.n + 1], held[held.n + 2] = score, key
            held.n = held.n + 2
            reply[size + 1], reply[size + 2], reply[size + 3] = reader.name, dues[n], key
            reply[size + 4], reply[size + 5] = values[j], nudges and nudges[n] or 0
            size = size + 5
        else
            call('SREM', nudged, key)
        end
    end
end
for channel, gone in pairs(removed) do
    batch('ZREM', at(channel), gone)
end
for reader, held in pairs(added) do
    batch('ZADD', at(reader), held)
end
if count > 0 then
    reply[4] = count < limit and time + gap or time
    call('HSET', clock, 'open', reply[4])
end
reply[3] = soonest(time, known)
return reply
