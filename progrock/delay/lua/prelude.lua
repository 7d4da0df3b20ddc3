-- What stands before every script of this folder: the names of the keys, the clock, and where an entry is.
--
-- A shard of the store is these keys, all with the tag of the shard, and so in one slot of a Redis Cluster:
--
--   KEYS[1]  entries   HASH  key -> "<attempt> <channel> <message>"
--   KEYS[2]  readers   HASH  reader -> "<slots> <until> <channel>"
--   KEYS[3]  nudged    SET   keys that somebody asked to be looked at
--   KEYS[4]  dead      ZSET  key -> when it died
--   KEYS[5]  reasons   HASH  key -> why it died
--   KEYS[6]  channels  SET   channels that have had entries
--   KEYS[7]  clock     HASH  last, offset: see now(); open: when the gap after a lease ends; stood: the marker,
--                             a JSON list of the standing entries that this store has been given
--   KEYS[8]  schedulers ZSET name -> when its heartbeat ends
--
--   <tag>:at:<channel>  ZSET  the entries that wait there -> due
--   <tag>:at:<reader>   ZSET  the entries that are held there -> end of the hold, which is the receipt:
--                             even while handed, odd while running
--
-- The names of the last two come from the records, so they are not among the KEYS; they share the tag.
-- Every script gets ARGV[1], the tag, and all times are whole microseconds.

local entries, readers, nudged, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local reasons, channels, clock, schedulers = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local tag = ARGV[1]
local call = redis.call
local CHUNK = 2000 -- a call takes some 8,000 arguments

local function at(name)
    return tag .. ':at:' .. name
end

-- A field of the clock, 0 if it is no time: other hands may write anything there.
local function whole(text)
    local number = tonumber(text or 0)
    return number and number >= 0 and number < 2 ^ 52 and math.floor(number) or 0
end

-- When the gap after the last lease ends. Nobody leaves a minute.
local function opens(text, time)
    local open = whole(text)
    return open <= time + 60000000 and open or 0
end

-- The store's time. When the host's clock steps back, it goes on from where it was.
local function now()
    local host = call('TIME')
    local kept = call('HMGET', clock, 'last', 'offset')
    local time = host[1] * 1000000 + host[2]
    local last, offset = whole(kept[1]), whole(kept[2])
    if time + offset < last then
        offset = last - time
        call('HSET', clock, 'offset', offset)
    end
    call('HSET', clock, 'last', time + offset)
    return time + offset
end

local function wake(due)
    call('PUBLISH', tag .. ':wake', due)
end

-- The due time of the first entry that waits at the channel, nil if there is none.
local function head(channel)
    return tonumber(call('ZRANGE', at(channel), 0, 0, 'WITHSCORES')[2])
end

local function parse(value)
    return string.match(value, '^(%d+) ([^ ]+) (.*)$')
end

local function parse_reader(record)
    local slots, till, channel = string.match(record, '^(%d+) (%d+) (.+)$')
    return tonumber(slots), tonumber(till), channel
end

-- All readers, as a list of {name, slots, till, channel}. A record that is none is thrown away, or made anew for what
-- is held there, which would never be found again.
local function each_reader()
    local all, list = call('HGETALL', readers), {}
    for i = 1, #all, 2 do
        local slots, till, channel = parse_reader(all[i + 1])
        if not slots then
            local key = call('ZRANGE', at(all[i]), 0, 0)[1]
            local _
            _, channel = parse(key and call('HGET', entries, key) or '')
            if channel then
                slots, till = 0, 0
                call('HSET', readers, all[i], '0 0 ' .. channel)
            end
        end
        if slots then
            list[#list + 1] = { name = all[i], slots = slots, till = till, channel = channel }
        else
            call('HDEL', readers, all[i])
        end
    end
    return list
end

-- Where a key is: 'waiting', 'held' or 'dead', its score, and who has it. Nil if it is nowhere.
local function locate(key, channel, known)
    local score = channel and call('ZSCORE', at(channel), key)
    if score then
        return 'waiting', tonumber(score), channel
    end
    for _, reader in ipairs(known) do
        score = call('ZSCORE', at(reader.name), key)
        if score then
            return 'held', tonumber(score), reader.name
        end
    end
    score = call('ZSCORE', dead, key)
    if score then
        return 'dead', tonumber(score)
    end
end

-- Forget a key wherever it is, also half of one. Returns where it was.
local function forget(key, known)
    local _, channel = parse(call('HGET', entries, key) or '')
    local where, _, name = locate(key, channel, known)
    call('SREM', nudged, key)
    if where == 'dead' then
        call('HDEL', reasons, key)
        call('ZREM', dead, key)
    elseif where then
        call('ZREM', at(name), key)
    end
    call('HDEL', entries, key)
    return where
end

-- Which of the keys are nudged: a list of 0 and 1, nil if none is.
local function marks(keys)
    if call('SCARD', nudged) == 0 then
        return nil
    end
    local list = {}
    for i = 1, #keys, CHUNK do
        local some = call('SMISMEMBER', nudged, unpack(keys, i, math.min(i + CHUNK - 1, #keys)))
        for j = 1, #some do
            list[i + j - 1] = some[j]
        end
    end
    return list
end

-- The scores of the keys at a place: a list of numbers and false.
local function scores(name, keys)
    local list = {}
    for i = 1, #keys, CHUNK do
        local some = call('ZMSCORE', at(name), unpack(keys, i, math.min(i + CHUNK - 1, #keys)))
        for j = 1, #some do
            list[i + j - 1] = some[j] and tonumber(some[j])
        end
    end
    return list
end

-- When something can be leased: a first entry of a channel with a free slot is due, or a hold ends. -1 if never.
local function soonest(time, known)
    local first = math.huge
    for _, reader in ipairs(known) do
        first = math.min(first, head(reader.name) or first)
        if reader.till > time and call('ZCARD', at(reader.name)) < reader.slots then
            first = math.min(first, head(reader.channel) or first)
        end
    end
    return first < math.huge and first or -1
end

-- Call a command with a list of arguments, as often as it takes. Sizes are even, so that no pair is torn.
local function batch(command, key, args)
    for i = 1, #args, CHUNK do
        call(command, key, unpack(args, i, math.min(i + CHUNK - 1, #args)))
    end
end
