-- Return the lines behind a cursor, and 1 if none is missing before the first of them, as far as can be told: of nothing
-- at all, only that nothing is missing since the beginning.
--
-- ARGV[2]  the seq that they are newer than

local found = call('XRANGE', lines, '(' .. ARGV[2] .. '-0', '+')
local said = {}
for i, line in ipairs(found) do
    said[i] = line[2][4] or ''
end
if #found == 0 then
    return { (ARGV[2] == '0' or call('XLEN', lines) > 0) and 1 or 0, said }
end
local before = at('XREVRANGE', ARGV[2] .. '-0', '-')
return { tonumber(found[1][2][2]) == before + 1 and 1 or 0, said }
