"""Signals for code that wants to know about jobs.

All are sent in a worker, with `job` (the UUID as text) and `snapshot`. Receivers may be async; what they raise is
logged and stops nothing. A job's next step waits for them, so keep them short.

- `started`: its first step is being taken. Sent after that was committed, at least once: again if the worker was
  stopped before the remote's answer was recorded.
- `changed`: a step has something new to show, every step of every job: say what you need in as few words as you can.
  One that a kill swallows is made up for by the next, or by `finished`.
- `finished`: it has ended. Sent after the commit, at least once: again if a worker was stopped before it could say that
  it had sent it. In embedded mode, where the schedule ends with the process, a kill between the commit and the signal
  loses it.
"""

from django.dispatch import Signal

started = Signal()
changed = Signal()
finished = Signal()
