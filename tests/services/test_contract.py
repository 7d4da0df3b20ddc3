"""The contract of adapters: ours keep it."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from django.utils.module_loading import import_string

from progrock.services import Service
from progrock.testing import AdapterContract, TroubleContract
from tests.services.adapters import ADAPTERS
from tests.services.promises import KeptService
from tests.synth.process import SynthProcess


@pytest.fixture(scope="module")
def process() -> Iterator[SynthProcess]:
    with SynthProcess() as process:
        yield process


@pytest.fixture(params=ADAPTERS)
def declared(request: pytest.FixtureRequest) -> Callable[..., Service]:
    """Make an adapter of the synth, each way once."""
    path, options = ADAPTERS[request.param]
    return partial(import_string(path), **options)


class TestSynth(AdapterContract):
    runs = {"mode": "clock", "length": 600}
    ends = {"length": 0.5, "pace": 100}

    @pytest.fixture(autouse=True)
    def there(self, process: SynthProcess, declared: Callable[..., Service]) -> None:
        self.adapter = partial(declared, base_url=process.url, timeout=5_000, connections=2)  # type: ignore[method-assign]


class TestSynthInTrouble(TroubleContract):
    @pytest.fixture(autouse=True)
    def there(self, declared: Callable[..., Service]) -> None:
        self.declared = declared

    def adapter_at(self, host: str, port: int) -> Service:
        return self.declared(base_url=f"http://{host}:{port}", timeout=500)


class TestScripted(AdapterContract):
    runs = {"runs": True}

    def adapter(self) -> Service:
        return KeptService()


def test_it_needs_no_pytest() -> None:
    case = type("ByUnittest", (TestScripted, unittest.TestCase), {})
    result = unittest.defaultTestLoader.loadTestsFromTestCase(case).run(unittest.TestResult())
    assert result.testsRun == sum(name.startswith("test_") for name in dir(AdapterContract))
    assert (result.failures, result.errors, result.skipped) == ([], [], [])
