"""The version before this one: its wheel in an environment of its own, beside the rest of its checkout."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from tests.faults.crew import ROOT, Code
from tests.upgrade.site import LEASE

BEFORE = "204f566992e9aee70ee3bfa99f27543996ae4a89"
"""The last commit before issue 8. With each release it becomes that of the release before."""


def build(folder: Path) -> Code:
    """Build it, and return how to run it.

    What it depends on it shares with the tests: it is our code that is of another version.

    :param folder: where to put it.
    """
    checkout, venv = folder / "before", folder / "venv"
    _unpack(checkout)
    apps = checkout / "tests/chaos/project/apps.py"
    apps.write_text(apps.read_text().replace("RUN_LEASE = 3_000", f"RUN_LEASE = {LEASE:_}"))
    _run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(checkout))
    # In the checkout it would be found before that of the wheel.
    shutil.rmtree(checkout / "progrock")
    python = venv / "bin/python"
    (wheel,) = folder.glob("django_progrock-*.whl")
    _run("-m", "uv", "venv", "-q", "--offline", "--python", sys.executable, str(venv))
    _run("-m", "uv", "pip", "install", "-q", "--offline", "--no-deps", "--python", str(python), str(wheel))
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = _run("-c", "import progrock; print(progrock.__file__)", python=str(python), cwd=checkout)
    assert where.startswith(str(packages)), f"expected the wheel's progrock, got {where}"
    return Code(str(python), checkout)


def _unpack(folder: Path) -> None:
    # Whoever has cloned it, and whoever runs this.
    command = ["git", "-c", "safe.directory=*", "archive", BEFORE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 0, (
        f"expected a clone that has the commit {BEFORE}, got one without: git fetch --unshallow\n{done.stderr.decode()}"
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _run(*command: str, python: str = sys.executable, cwd: Path = ROOT) -> str:
    done = subprocess.run([python, *command], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
