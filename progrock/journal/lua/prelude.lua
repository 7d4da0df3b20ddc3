-- What stands before every script of this folder.
--
--   KEYS[1]  lines  STREAM  "<seq>-0" -> n, the line's number; line, the rest of it
--
-- Every script gets ARGV[1], the tag of its key.

local lines = KEYS[1]
local call = redis.call

-- The number and the seq of the line that is the first in this direction, and the id that it has in the stream.
local function at(command, from, to)
    local found = call(command, lines, from, to, 'COUNT', 1)[1]
    if not found then
        return 0, 0
    end
    return tonumber(found[2][2]) or 0, tonumber(string.match(found[1], '^%d+')), found[1]
end

-- Where other hands have put something else, there is no journal.
if call('TYPE', lines).ok ~= 'stream' then
    call('DEL', lines)
end
