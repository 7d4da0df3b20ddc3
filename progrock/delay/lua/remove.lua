-- Forget entries, held or not.
--
-- ARGV[2…] keys
--
-- Returns how many there were.

local known = each_reader()
local found, freed = 0, false
for i = 2, #ARGV do
    local where = forget(ARGV[i], known)
    if where then
        found = found + 1
        freed = freed or where == 'held'
    end
end
if freed then
    wake(now())
end
return found
