-- Tell which topics are marked.
--
-- ARGV[2…] topics
--
-- Returns of each 1 if it is, else 0.

local time, found = now(), {}
for i = 2, #ARGV do
    found[i - 1] = tonumber(call('ZSCORE', marks, ARGV[i]) or 0) > time and 1 or 0
end
return found
