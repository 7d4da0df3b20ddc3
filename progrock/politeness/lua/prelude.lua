-- What stands before every script of this folder: the names of the keys, and the clock.
--
--   KEYS[1]  bucket   HASH  of a service: tokens, calls that may be made at once; at, when that was so; turn, when the next
--                           turn is that has not been promised; took, microseconds that a call takes
--   KEYS[2]  permits  HASH  of a service: name -> "<calls under way> <when they end by themselves>"
--   KEYS[3]  marks    ZSET  "<job, or all> of <owner>" -> when the mark ends
--
-- Every script gets ARGV[1], the tag of its keys. All times are whole microseconds of Redis TIME.

local bucket, permits, marks = KEYS[1], KEYS[2], KEYS[3]
local call = redis.call

local function now()
    local host = call('TIME')
    return host[1] * 1000000 + host[2]
end

-- A field of the bucket, or something else where other hands have written what is no number, which "nan" is not either.
local function number(text, otherwise)
    local said = tonumber(text or otherwise)
    return said and said == said and said or otherwise
end

-- What a command says of a key; where other hands have put something else there, what it says when that is gone.
local function kept_at(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err and string.find(answer.err, 'WRONGTYPE', 1, true) then
        call('DEL', key)
        answer = call(command, key, ...)
    end
    return answer
end
