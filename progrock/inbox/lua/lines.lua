-- Return the number of the first line that is returned, and lines.
--
-- ARGV[2]  the job
-- ARGV[3]  the number of the first that is of interest
-- ARGV[4]  how many at most

local said, lines = keys_of(ARGV[2])
local count = tonumber(call('HGET', said, 'lines') or 0) or 0
local oldest = count - call('LLEN', lines) + 1
local first = math.max(tonumber(ARGV[3]), oldest)
return { first, call('LRANGE', lines, first - oldest, first - oldest + tonumber(ARGV[4]) - 1) }
