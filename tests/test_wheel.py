"""The wheel: what `pip install django-progrock` brings, in an environment that has nothing else of ours."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("django_progrock-*.whl")
    return wheel


def test_it_has_the_browser_files_and_nothing_of_the_demo(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    browser = ROOT / "frontend/static/progrock"
    shipped = {f"progrock/static/progrock/{path.relative_to(browser)}" for path in browser.rglob("*.*")}
    assert "progrock/static/progrock/types/progrock.d.ts" in shipped
    shipped |= {f"progrock/services/presets/{path.name}" for path in (ROOT / "progrock/services/presets").iterdir()}
    assert shipped <= names
    assert "progrock/services/presets/scrapyd.toml" in names
    assert {"progrock/py.typed", "progrock/migrations/0001_initial.py", "progrock/delay/memory.py"} <= names
    assert all(name.startswith(("progrock/", "django_progrock-")) for name in names)
    assert {"progrock/templates/progrock/ended.txt", "progrock/templatetags/progrock.py"} <= names
    assert {f"progrock/locale/{lang}/LC_MESSAGES/django.mo" for lang in ("de", "es", "ar")} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    """The app, unpacked far away from the checkout, in a project with the least of settings."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = """
import django
from django.conf import settings
memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
settings.configure(
    INSTALLED_APPS=["progrock", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.staticfiles"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CHANNEL_LAYERS={"default": memory, "work": memory},
    PROGROCK={"SERVICES": {"s": {"BACKEND": "mine.Mine"}}},
)
import asyncio, sys, types
django.setup()
from progrock.services import Service
module = sys.modules["mine"] = types.ModuleType("mine")
names = ("start", "poll", "cancel", "find", "open")
module.Mine = type("Mine", (Service,), {**dict.fromkeys(names), "aclose": lambda self: asyncio.sleep(0)})
from django.core.management import call_command
from django.contrib.staticfiles import finders
call_command("check")
call_command("migrate", verbosity=0)
from progrock import jobs
print(jobs.start(owner="me").state, bool(finders.find("progrock/prog-rock.js")))
import progrock
print(progrock.__file__)
"""
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "pending True" in ran.stdout
    assert str(tmp_path) in ran.stdout
