"""Runs inside a web container, read from the standard input: prints what the site's own stores have, as JSON."""

import json
import os
import sys
import urllib.request
from typing import Any

import django
import redis
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from progrock.models import Job  # noqa: E402

COLUMNS = ("id", "key", "state", "error", "message", "remote", "lines", "started", "finished")
AT_ONCE = 1_000

jobs = Job.objects.filter(key__startswith=sys.argv[1])
site: dict[str, Any] = settings.PROGROCK
with redis.Redis.from_url(site["STORE"]) as store:
    keys = list(store.scan_iter(count=AT_ONCE))
    endless = []
    for at in range(0, len(keys), AT_ONCE):
        some = keys[at : at + AT_ONCE]
        asked = store.pipeline(transaction=False)
        for key in some:
            asked.pttl(key)
        endless += [key for key, left in zip(some, asked.execute(), strict=True) if left == -1]
    entries = store.hkeys("{delay.0}:entries")
synth = site["SERVICES"]["synth"]["OPTIONS"]["base_url"]
with urllib.request.urlopen(f"{synth}/v1/stats", timeout=10) as reply:
    stats = json.load(reply)
known = {
    "rows": list(jobs.values(*COLUMNS)),
    "keys": len(keys),
    "endless": [key.decode("utf-8", "replace") for key in endless],
    "entries": [key.decode("utf-8", "replace") for key in entries],
    "stats": stats,
}
json.dump(known, sys.stdout, default=str)
