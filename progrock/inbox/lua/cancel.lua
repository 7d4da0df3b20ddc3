-- Ask for a job's end; one whose code has yet to begin ends here.
--
-- ARGV[2]  the job
-- ARGV[3]  the end that it has then
-- ARGV[4]  for how many milliseconds what was said is kept, and
-- ARGV[5]  of a job that is over

local said, lines = keys_of(ARGV[2])
call('HSET', said, 'cancelled', '1')
local before = call('HMGET', said, 'waiting', 'end')
local keep = ARGV[4]
if before[2] or before[1] == '1' then
    call('HSETNX', said, 'end', ARGV[3])
    keep = ARGV[5]
end
call('PEXPIRE', said, keep)
call('PEXPIRE', lines, keep)
