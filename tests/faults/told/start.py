"""Starts jobs: `python -m tests.faults.told.start 5`."""

import sys

import django

if __name__ == "__main__":
    django.setup()
    from progrock import jobs

    for _ in range(int(sys.argv[1])):
        jobs.start(owner="me")
