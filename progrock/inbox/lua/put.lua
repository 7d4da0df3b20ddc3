-- Say something of a job, and return whether its end was asked for, and whether it was over before.
--
-- ARGV[2]   the job
-- ARGV[3]   how many of its lines are kept
-- ARGV[4]   for how many milliseconds what was said is kept, and
-- ARGV[5]   of a job that is over
-- ARGV[6]   1 if its code has yet to begin: without a sender, only if nothing was said of it before
-- ARGV[7]   who says it, if they may say it again, and
-- ARGV[8]   the number of what they say
-- ARGV[9]   its end, or nothing
-- ARGV[10]  how many parts of a report follow, each with its name; then come lines

local said, lines = keys_of(ARGV[2])
local before = call('HMGET', said, 'cancelled', 'end', 'from:' .. ARGV[7], 'at')
local cancelled = before[1] and 1 or 0
if ARGV[6] == '1' and ARGV[7] == '' and before[4] then
    return { cancelled, before[2] and 1 or 0 }
end
call('HSET', said, 'at', now())
if before[2] then
    return { cancelled, 1 }
end
if ARGV[7] == '' or (tonumber(before[3] or 0) or 0) < tonumber(ARGV[8]) then
    if ARGV[7] ~= '' then
        call('HSET', said, 'from:' .. ARGV[7], ARGV[8])
    end
    call('HSET', said, 'waiting', ARGV[6])
    local first = 11 + 2 * tonumber(ARGV[10])
    for i = 11, first - 1, 2 do
        call('HSET', said, ARGV[i], ARGV[i + 1])
    end
    for i = first, #ARGV do
        call('RPUSH', lines, ARGV[i])
    end
    if first <= #ARGV then
        call('HSET', said, 'lines', (tonumber(call('HGET', said, 'lines') or 0) or 0) + #ARGV - first + 1)
        call('LTRIM', lines, -tonumber(ARGV[3]), -1)
    end
    if ARGV[9] ~= '' then
        call('HSET', said, 'end', ARGV[9])
    end
end
local keep = ARGV[9] ~= '' and ARGV[5] or ARGV[4]
call('PEXPIRE', said, keep)
call('PEXPIRE', lines, keep)
return { cancelled, 0 }
