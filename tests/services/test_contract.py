"""The contract of adapters: ours keep it."""

from __future__ import annotations

import unittest
from collections.abc import Iterator

import pytest

from config.synth import SynthService
from progrock.services import Service
from progrock.testing import AdapterContract, TroubleContract
from tests.services.promises import KeptService
from tests.synth.process import SynthProcess


@pytest.fixture(scope="module")
def process() -> Iterator[SynthProcess]:
    with SynthProcess() as process:
        yield process


class TestSynth(AdapterContract):
    runs = {"mode": "clock", "length": 600}
    ends = {"length": 0.5, "pace": 100}

    @pytest.fixture(autouse=True)
    def there(self, process: SynthProcess) -> None:
        self.url = process.url

    def adapter(self) -> Service:
        return SynthService(self.url, timeout=5_000, connections=2)


class TestSynthInTrouble(TroubleContract):
    def adapter_at(self, host: str, port: int) -> Service:
        return SynthService(f"http://{host}:{port}", timeout=500)


class TestScripted(AdapterContract):
    runs = {"runs": True}

    def adapter(self) -> Service:
        return KeptService()


def test_it_needs_no_pytest() -> None:
    case = type("ByUnittest", (TestScripted, unittest.TestCase), {})
    result = unittest.defaultTestLoader.loadTestsFromTestCase(case).run(unittest.TestResult())
    assert result.testsRun == sum(name.startswith("test_") for name in dir(AdapterContract))
    assert (result.failures, result.errors, result.skipped) == ([], [], [])
