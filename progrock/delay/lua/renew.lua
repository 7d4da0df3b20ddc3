-- Hold entries for longer, as running, if the receipts are still theirs.
--
-- ARGV[2]  duration of the hold, from now on
-- ARGV[3]  reader: who holds them then
-- ARGV[4]  channel: theirs
-- ARGV[5]  where they are: with a reader, or at the channel if they were never leased
-- ARGV[6…] key, receipt, and so on
--
-- Returns the time, the new receipts (0 for what was refused), and which were nudged (empty: none).

local time = now()
local duration, reader, channel, from = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
-- Also of a reader that has not announced itself yet: what it holds must be found when its hold ends.
call('HSETNX', readers, reader, '0 0 ' .. channel)
local keys, receipts = {}, {}
for i = 6, #ARGV, 2 do
    keys[#keys + 1], receipts[#receipts + 1] = ARGV[i], tonumber(ARGV[i + 1])
end
local found, nudges = scores(from, keys), marks(keys)
local moved, added, told = {}, {}, {}
for i = 1, #keys do
    if found[i] and found[i] == receipts[i] then
        local first = from == channel or found[i] % 2 == 0
        -- Odd: running. Never the same twice, even if the clock stands still.
        local receipt = time + duration
        receipt = receipt - 1 + receipt % 2
        if receipt <= found[i] then
            receipt = found[i] + 1 + found[i] % 2
        end
        if from ~= reader then
            moved[#moved + 1] = keys[i]
        end
        added[#added + 1], added[#added + 2] = receipt, keys[i]
        -- The step that begins now is told; a nudge that comes later waits for the settle.
        if first and nudges and nudges[i] == 1 then
            told[#told + 1] = keys[i]
        end
        receipts[i] = receipt
    else
        receipts[i] = 0
    end
end
batch('ZREM', at(from), moved)
batch('ZADD', at(reader), added)
batch('SREM', nudged, told)
return { time, receipts, nudges or {} }
