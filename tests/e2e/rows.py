"""Settings and URLs of a site with pages of rows: those of docs/howto/html-fragments.md, and pages for pluto-rt."""

from __future__ import annotations

import importlib.util
import re
import threading
import time
import uuid
from copy import deepcopy
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as THEIRS
from config.settings import TEMPLATES as BEFORE

ROOT_URLCONF = "tests.e2e.rows"
ROOT = Path(__file__).parents[2]
HOWTO = (ROOT / "docs/howto/html-fragments.md").read_text()
FILES = {
    "htmx-1.js": "htmx-1/dist/htmx.min.js",
    "sse-1.js": "htmx-1/dist/ext/sse.js",
    "htmx-2.js": "htmx.org/dist/htmx.min.js",
    "sse-2.js": "htmx-ext-sse/dist/sse.min.js",
}


def _pluto_rt() -> Path:
    """Return where pluto-rt is, of which nothing is imported."""
    found = importlib.util.find_spec("pluto_rt")
    assert found is not None
    assert found.origin is not None, "the tests need pluto-rt, as requirements/test.txt has it"
    return Path(found.origin).parent


def block(name: str) -> str:
    """Return what the how-to shows under a name."""
    (found,) = re.findall(rf"^```html {name}\n(.*?)^```", HOWTO, re.DOTALL | re.MULTILINE)
    return str(found)


LAX = {"Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval'"}
INSTALLED_APPS = [*THEIRS, "progrock.contrib.pluto_rt"]
_rows: Any = deepcopy(BEFORE[0])
_rows["APP_DIRS"] = False
_rows["OPTIONS"]["loaders"] = [
    (
        "django.template.loaders.locmem.Loader",
        {
            "imports/row.html": block("row"),
            "imports/tr.html": '<tr id="{{ id }}"><td>{{ line.text }}</td><td>{{ line.data.file }}</td></tr>',
            "pluto_rt/item.html": '<li class="{{ item.status }}">{{ item.msg }}</li>',
        },
    ),
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
# The pages of a project that has the templates of pluto-rt itself, as they come from PyPI.
_pluto: Any = {**deepcopy(BEFORE[0]), "NAME": "pluto", "DIRS": [_pluto_rt() / "templates"]}
TEMPLATES = [_rows, _pluto]


def own_urls() -> list[Any]:
    """Return the URLs that the how-to shows."""
    (source,) = re.findall(r"^```python urls\n(.*?)^```", HOWTO, re.DOTALL | re.MULTILINE)
    scope: dict[str, Any] = {}
    exec(source, scope)
    return list(scope["urlpatterns"])


def page(request: HttpRequest) -> HttpResponse:
    """A page with a job: `way`; `job`, or a new one is begun."""
    from progrock import jobs, push
    from progrock.access import ensure_owner

    ensure_owner(request)
    way = request.GET["way"]
    name = request.GET.get("job") or push.create("Import", owner=request).job
    arguments = "every=1" if way.startswith("poll") else "mode='newest'" if way.endswith("newest") else ""
    source = block("plain") if way == "plain" else block("page").replace('element="ol"', f'element="ol" {arguments}')
    if way.endswith("table"):
        table = '<table><tbody id="mine"></tbody></table>'
        source = re.sub(
            r"\{% fragments .*", f"{table}{{% fragments job 'imports/tr.html' target='mine' {arguments} %}}", source
        )
    version = "1" if "-1" in way else "2"
    source = source.replace("/static/htmx.min.js", f"/files/htmx-{version}.js")
    source = source.replace("/static/sse.min.js", f"/files/sse-{version}.js")
    snapshot = jobs.get(name, owner=_owner(request))
    text = engines["django"].from_string(source).render({"job": snapshot}, request)
    # The rows of htmx' pages come under the strict policy of the project.
    return HttpResponse(
        f"<!doctype html><title>{name}</title><body>{text}</body>", headers=LAX if way == "plain" else {}
    )


def _owner(request: HttpRequest) -> str:
    from progrock.access import owner_text

    return owner_text(request)


def say(request: HttpRequest) -> HttpResponse:
    """Say lines of a job, from `first` on to `last`; with `end`, that it is over."""
    from progrock import push

    job = request.GET["job"]
    for n in range(int(request.GET["first"]), int(request.GET["last"]) + 1):
        push.part(job, {"file": f"<{n}>.csv"}, f"line {n}")
    if "end" in request.GET:
        push.complete(job)
    return HttpResponse("Said.")


def queue(request: HttpRequest) -> HttpResponse:
    """A page as those of pluto-rt's demo: it begins something in the background, and shows what that pushes."""
    name = f"listqueue_{uuid.uuid4()}"
    threading.Thread(target=_work, args=(name, int(request.GET.get("count", 5)))).start()
    context = {
        "queue_name": name,
        "mode": request.GET.get("mode", "normal"),
        "num_per_gulp": 3,
        "interval_seconds": 1,
        "template": f"pluto_rt/{request.GET['by']}.html",
    }
    source = """<!doctype html><title>Queue</title><body><ul id="results"></ul>
{% include template with item_template="pluto_rt/item.html" target="#results" mode=mode %}
<script src="/files/htmx-1.js"></script><script src="/files/sse-1.js"></script></body>"""
    using = "pluto" if request.GET["of"] == "theirs" else "django"
    # Theirs has script in an attribute.
    return HttpResponse(
        engines[using].from_string(source).render(context, request), headers=LAX if using == "pluto" else {}
    )


def _work(name: str, count: int) -> None:
    from progrock.contrib.pluto_rt.ops import get_rt_queue_handle

    mqueue = get_rt_queue_handle(name)
    for n in range(1, count + 1):
        mqueue.push({"status": "info", "msg": f"<{n}>"})
        time.sleep(0.15)
    mqueue.complete()


def file(request: HttpRequest, name: str) -> HttpResponse:
    """One of htmx' files."""
    return HttpResponse((ROOT / "node_modules" / FILES[name]).read_bytes(), content_type="text/javascript")


def __getattr__(name: str) -> Any:
    # Settings are read before apps are there, URLs after: the project's can only be imported then.
    if name == "urlpatterns":
        from config import urls

        return [
            path("page", page),
            path("say", say),
            path("queue", queue),
            path("files/<str:name>", file),
            *own_urls(),
            path("rt_messages/", include("progrock.contrib.pluto_rt.urls")),
            *urls.urlpatterns,
        ]
    raise AttributeError(name)
