-- Add lines to a job's journal.
--
-- ARGV[2]  how many are kept
-- ARGV[3]  for how many milliseconds
-- ARGV[4…] for each line: its number, its seq, and what it says
--
-- A number that was in already is what a step that was taken twice, or a worker that has lost its lease, says again.

local n, seq = at('XREVRANGE', '+', '-')
for i = 4, #ARGV, 3 do
    if tonumber(ARGV[i]) > n and tonumber(ARGV[i + 1]) > seq then
        n, seq = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
        call('XADD', lines, 'MAXLEN', ARGV[2], ARGV[i + 1] .. '-0', 'n', ARGV[i], 'line', ARGV[i + 2])
    end
end
call('PEXPIRE', lines, ARGV[3])
