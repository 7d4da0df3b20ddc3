-- Say that a scheduler is alive.
--
-- ARGV[2]  its name
-- ARGV[3]  how long this holds; 0 signs off

local time = now()
call('ZREMRANGEBYSCORE', schedulers, '-inf', time)
if ARGV[3] == '0' then
    call('ZREM', schedulers, ARGV[2])
else
    call('ZADD', schedulers, time + ARGV[3], ARGV[2])
end
