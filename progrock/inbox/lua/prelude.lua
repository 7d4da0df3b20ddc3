-- What stands before every script of this folder.
--
--   KEYS[1]               jobs   what the keys of all jobs begin with
--   jobs:<job>:said       HASH   the parts of its newest report; at, when anything was said, in milliseconds; lines, how
--                                many there were; end; waiting; cancelled; from:<sender>, the number of what it said last
--   jobs:<job>:lines      LIST   the newest of its lines
--
-- Every script gets ARGV[1], the tag of its keys, which is in all of them.

local call = redis.call

local function keys_of(job)
    local said, lines = KEYS[1] .. ':' .. job .. ':said', KEYS[1] .. ':' .. job .. ':lines'
    -- Where other hands have put something else, nothing was said.
    for key, kind in pairs({ [said] = 'hash', [lines] = 'list' }) do
        local found = call('TYPE', key).ok
        if found ~= kind and found ~= 'none' then
            call('DEL', key)
        end
    end
    return said, lines
end

local function now()
    local time = call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
