"""A process for pygeoapi that takes its time and says how far it is."""

from __future__ import annotations

import time
from typing import Any

from pygeoapi.process.base import BaseProcessor, ProcessorExecuteError
from pygeoapi.process.manager.tinydb_ import TinyDBManager

METADATA = {
    "version": "1",
    "id": "slow",
    "title": "Slow",
    "description": "Counts, and takes its time.",
    "jobControlOptions": ["sync-execute", "async-execute"],
    "keywords": [],
    "links": [],
    "inputs": {"steps": {"schema": {"type": "integer"}}, "pause": {"schema": {"type": "number"}}},
    "outputs": {"count": {"schema": {"type": "object"}}},
}


class SlowProcess(BaseProcessor):
    """Counts to `steps` with `pause` seconds in between, and fails if it is told to `fail`."""

    def __init__(self, definition: dict[str, Any]) -> None:
        super().__init__(definition, METADATA)
        # pygeoapi tells a process which job it is, and gives it no way to report but to write where its manager does.
        self._jobs = TinyDBManager({"name": "TinyDB", "connection": definition["jobs"]})
        self._job = ""

    def set_job_id(self, job_id: str) -> None:
        self._job = job_id

    def execute(self, inputs: dict[str, Any], outputs: object = None) -> tuple[str, dict[str, Any]]:
        steps = int(inputs["steps"])
        for step in range(steps):
            said = {"status": "running", "progress": 100 * step // steps, "message": f"Counted to {step}"}
            self._jobs.update_job(self._job, said)
            time.sleep(float(inputs["pause"]))
        if inputs.get("fail"):
            raise ProcessorExecuteError(inputs["fail"])
        return "application/json", {"id": "count", "value": steps}
