-- Put aside keys of the wrong type, which somebody else must have written: every script would fail on them.
--
-- Returns the names that they have now.

local TYPES = { 'hash', 'hash', 'set', 'zset', 'hash', 'set', 'hash', 'zset' }
local stamp = call('TIME')[1]
local aside = {}
local function inspect(key, wanted)
    local got = call('TYPE', key).ok
    if got ~= wanted and got ~= 'none' then
        aside[#aside + 1] = key .. ':broken:' .. stamp
        call('RENAME', key, aside[#aside])
    end
end
for i, wanted in ipairs(TYPES) do
    inspect(KEYS[i], wanted)
end
for _, reader in ipairs(each_reader()) do
    inspect(at(reader.name), 'zset')
    inspect(at(reader.channel), 'zset')
end
for _, channel in ipairs(call('SMEMBERS', channels)) do
    inspect(at(channel), 'zset')
end
if #aside > 0 then
    call('HDEL', clock, 'stood') -- whatever was in them is to be made anew
end
return aside
