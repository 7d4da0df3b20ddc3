"""The how-to of adapters: its code keeps the contract that it tells of, and runs a job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from progrock.conf import BUILT_IN, parse
from progrock.protocol import State
from progrock.testing import AdapterContract, TroubleContract
from tests.documents import code
from tests.services.site import QUICK, playing
from tests.synth.process import SynthProcess

PAGE = "howto/write-an-adapter.md"
TESTS = [
    *(("TestStudio", name) for name in dir(AdapterContract) if name.startswith("test_")),
    *(("TestStudioInTrouble", name) for name in dir(TroubleContract) if name.startswith("test_")),
]


@pytest.fixture(scope="module")
def process() -> Iterator[SynthProcess]:
    with SynthProcess() as process:
        yield process


@pytest.fixture
def yours(process: SynthProcess) -> dict[str, Any]:
    """Run the code of the page, with the synth where it is in this test."""
    scope: dict[str, Any] = {"__name__": "yours"}
    for label in ("adapter", "contract", "settings"):
        exec(code(PAGE, label).replace("http://127.0.0.1:8900", process.url), scope)
    return scope


@pytest.mark.parametrize(("case", "test"), TESTS)
def test_the_adapter_keeps_the_contract(yours: dict[str, Any], case: str, test: str) -> None:
    getattr(yours[case](), test)()


async def test_a_job_runs_with_it(
    yours: dict[str, Any], process: SynthProcess, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (declared,) = (each for name, each in parse(yours["PROGROCK"]).services.items() if name not in BUILT_IN)
    assert declared.backend == "yours.Studio"
    monkeypatch.setattr("tests.services.test_write_an_adapter.Studio", yours["Studio"], raising=False)
    async with playing(process, f"{__name__}.Studio", {}, {}) as site:
        assert (await site.end(QUICK)).state is State.SUCCEEDED


def test_the_failure_that_it_shows_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / PAGE).read_text()
    (expected, got) = re.findall(r"AssertionError: Expected (.*), got (.*) poll\.", text)[0]
    source = Path(__file__).parents[2].joinpath("progrock/testing/trouble.py").read_text()
    assert f'wrong("{expected}", f"{got} {{what}}")' in source
