"""Signals for code that wants to know about jobs.

`finished` is sent with `job` (the UUID as text) and `snapshot`, after the commit that ended the job: at least once,
a second time only if a worker died in between. Handlers may be async; what they raise is logged and stops nothing.
"""

from django.dispatch import Signal

finished = Signal()
