"""Signals for code that wants to know about jobs.

`finished` is sent with `job` (the UUID as text) and `snapshot`, after the commit that ended the job: once, and again
if a worker was stopped before it could say that it had sent it. In embedded mode, where the schedule ends with the
process, a kill between the commit and the signal loses it. Receivers may be async; what they raise is logged and stops
nothing.
"""

from django.dispatch import Signal

finished = Signal()
