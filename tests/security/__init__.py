"""The security suite: what others do on purpose.

SECURITY.md has the threats, by the numbers of section G of the fault list, and the tests that show what stops them.
Many are where the code is that they are about. Here is what is about all of it:

| | |
|---|---|
| `test_xss` | G32: HTML in every field, on every page, in a real browser |
| `test_wire` | G11, G33, G38: bytes, sizes, bombs, slowness and injections, against a real daphne |
| `test_parser` | G03, G04: anything as a frame, a name or an id |
| `test_fixation` | planted and shared sessions |
| `test_redis_contents` | anything in Redis, and on the channels between processes |
| `test_terminal` | G33: names in Redis, on an operator's terminal |
| `test_calls_out` | G24: whom we call, and by which way |
| `test_table` | that SECURITY.md names tests that exist |

Section H, load: docs/explanation/faults.md, "Shown elsewhere" (H01, H02, H04, H05, H06) and "Not shown" (H03, H08); the
long runs of `make chaos` are H07.
"""
