-- Add lines to a job's journal.
--
-- ARGV[2]  how many are kept
-- ARGV[3]  for how many milliseconds
-- ARGV[4…] for each line: its number, its seq, and what it says
--
-- A number that is in already is what a step that was taken twice says again: it moves behind whatever was shown
-- meanwhile. What is older than what is in comes from a worker that has lost its lease.

local n, seq, id, _ = at('XREVRANGE', '+', '-')
for i = 4, #ARGV, 3 do
    if tonumber(ARGV[i + 1]) > seq then
        while id and n >= tonumber(ARGV[i]) do
            call('XDEL', lines, id)
            n, _, id = at('XREVRANGE', '+', '-')
        end
        n, seq, id = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), ARGV[i + 1] .. '-0'
        call('XADD', lines, 'MAXLEN', ARGV[2], id, 'n', ARGV[i], 'line', ARGV[i + 2])
    end
end
call('PEXPIRE', lines, ARGV[3])
