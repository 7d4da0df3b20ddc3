"""Reads the text that Prometheus reads, and refuses what is not in its format."""

from __future__ import annotations

import re
from typing import NamedTuple

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
VALUE = r'"((?:[^"\\\n]|\\["\\n])*)"'
LABEL = re.compile(rf"({NAME})={VALUE}")
LINE = re.compile(rf"({NAME})(?:\{{({NAME}={VALUE}(?:,{NAME}={VALUE})*)\}})? (\S+)")


class Series(NamedTuple):
    """One sample's name and labels."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()


class Page:
    """What a page says.

    :param text: as it came.
    :raises AssertionError: if it is not in the format.
    """

    def __init__(self, text: str) -> None:
        assert text.endswith("\n")
        self.kinds: dict[str, str] = {}
        self.samples: dict[Series, float] = {}
        says, name = "", ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                says = line.split(" ", 3)[2]
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == says
                assert name not in self.kinds
                assert kind in ("counter", "gauge", "histogram")
                self.kinds[name] = kind
            else:
                found = LINE.fullmatch(line)
                assert found, line
                suffixes = ("_bucket", "_count", "_sum") if self.kinds[name] == "histogram" else ("",)
                assert found[1] in {name + suffix for suffix in suffixes}, line
                series = Series(found[1], tuple((each[1], each[2]) for each in LABEL.finditer(found[2] or "")))
                assert series not in self.samples
                self.samples[series] = float(found[found.re.groups])
        self._check_histograms()

    def _check_histograms(self) -> None:
        below: dict[Series, list[tuple[float, float]]] = {}
        for series, value in self.samples.items():
            bound = dict(series.labels).get("le")
            if bound is not None:
                name = series.name.removesuffix("_bucket")
                rest = tuple(each for each in series.labels if each[0] != "le")
                below.setdefault(Series(name + "_count", rest), []).append((float(bound), value))
        for series, buckets in below.items():
            assert buckets == sorted(buckets)
            assert [many for _, many in buckets] == sorted(many for _, many in buckets)
            assert buckets[-1] == (float("inf"), self.samples[series])
