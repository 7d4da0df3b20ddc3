-- Hold entries for longer, as running, if the receipts are still theirs.
--
-- ARGV[2]  duration of the hold, from now on
-- ARGV[3]  reader: who holds them then
-- ARGV[4]  channel: theirs
-- ARGV[5]  where they are: with a reader, or at the channel if they were never leased
-- ARGV[6]  MessagePack of a list of {key, receipt}
--
-- Returns the time, the new receipts (0 for what was refused), and which were nudged (empty: none).

local time = now()
local duration, reader, channel, from = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
-- Also of a reader that has not announced itself yet: what it holds must be found when its hold ends.
call('HSETNX', readers, reader, '0 0 ' .. channel)
local items = cmsgpack.unpack(ARGV[6])
local keys, receipts, seen = {}, {}, {}
for i = 1, #items do
    keys[i], receipts[i] = items[i][1], items[i][2]
end
local found, nudges = scores(from, keys), marks(keys)
-- Odd: running.
local usual = time + duration
usual = usual - 1 + usual % 2
local score = string.format('%.0f', usual)
local moved, added, told, size = {}, {}, {}, 0
for i = 1, #items do
    -- A receipt is good once, also within a batch.
    if found[i] == receipts[i] and not seen[keys[i]] then
        seen[keys[i]] = true
        local first = from == channel or found[i] % 2 == 0
        size = size + 1
        moved[size] = keys[i]
        added[2 * size - 1], added[2 * size] = score, keys[i]
        receipts[i] = usual
        if usual <= found[i] then
            -- Never the same twice, even if the clock stands still.
            receipts[i] = found[i] + 1 + found[i] % 2
            added[2 * size - 1] = receipts[i]
        end
        -- The step that begins now is told; a nudge that comes later waits for the settle.
        if first and nudges and nudges[i] == 1 then
            told[#told + 1] = keys[i]
        end
    else
        receipts[i] = 0
    end
end
batch('ZADD', at(reader), added)
if from ~= reader then
    batch('ZREM', at(from), moved)
end
batch('SREM', nudged, told)
return { time, receipts, nudges or {} }
