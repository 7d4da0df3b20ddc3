-- Mark topics as watched.
--
-- ARGV[2]  duration of a mark
-- ARGV[3…] topics
--
-- Returns of each 1 if it had no mark, else 0.

local time = now()
kept_at('ZREMRANGEBYSCORE', marks, '-inf', time)
local new = {}
for i = 3, #ARGV do
    new[i - 2] = call('ZSCORE', marks, ARGV[i]) and 0 or 1
    call('ZADD', marks, time + ARGV[2], ARGV[i])
end
call('PEXPIRE', marks, math.ceil(ARGV[2] / 1000))
return new
