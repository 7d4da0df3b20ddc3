"""The same work on what people use today: one module a peer, each run by a Python of its own.

They import nothing of the project. A step notes its job's number, its own, and how late it was in microseconds, in
memory; the process writes that down every second.
"""
