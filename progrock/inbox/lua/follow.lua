-- Number a job's lines from where they were read to, if there are fewer: it was emptied, and they began at 1.
--
-- ARGV[2]  the job
-- ARGV[3]  the number of the last line that was read

local said, lines = keys_of(ARGV[2])
local count = tonumber(call('HGET', said, 'lines') or 0) or 0
if count > 0 and count < tonumber(ARGV[3]) then
    call('HSET', said, 'lines', tonumber(ARGV[3]) + call('LLEN', lines))
end
