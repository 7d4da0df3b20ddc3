"""What a reply says of a job: where in it each part of a reading is, and what the service's words mean."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..expression import Expression, Senseless
from ..protocol import Line, State
from ..step import Look, Miss, Reading, one_line

logger = logging.getLogger(__name__)

_TEXT_MOST = 500
_WORDS_MOST = 100
_AGAIN_MOST = 86_400
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{0,15})?", re.ASCII)
_MEDIA = re.compile(r"(?:application|audio|font|image|message|model|multipart|text|video)/[\w.+-]+(?:;.*)?", re.ASCII)
BYTES = "application/octet-stream"


class Reader:
    """Reads jobs out of JSON.

    :param fields: expressions by the field of a reading that they find; `remote` is the service's name for the job,
        `done` and `total` are parts of a percentage, `error` is why it failed.
    :param states: what the service's words for a state mean.
    """

    def __init__(self, fields: Mapping[str, Expression], states: Mapping[str, State]) -> None:
        self._fields = dict(fields)
        self._states = dict(states)
        # Few write them the same way everywhere; who means two things by Done and DONE has said so.
        self._folded = {word.casefold(): state for word, state in states.items()}
        self._unknown: set[str] = set()

    @property
    def has_state(self) -> bool:
        """Whether a reply says how it stands; if not, its status code does."""
        return "state" in self._fields

    @property
    def has_result(self) -> bool:
        """Whether the result is in what tells of the end."""
        return "result" in self._fields

    def name(self, job: object) -> str | None:
        """Return the service's name for a job, None if it does not say it."""
        value = self._shown("remote", job)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return value if isinstance(value, str) and value else None

    def state(self, job: object) -> State | None:
        """Return how it stands, None if it does not say; a word that is not known is taken for running.

        :raises Senseless: if the expression has no answer.
        """
        value = self._needed("state", job)
        if value is None or isinstance(value, list | dict):
            return None
        word = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        state = self._states.get(word) or self._folded.get(word.casefold())
        if state is None:
            word = one_line(word)[:64]
            if word not in self._unknown and len(self._unknown) < _WORDS_MOST:
                self._unknown.add(word)
                logger.warning("The state %r of a service is not in its settings, and taken for running.", word)
            return State.RUNNING
        return state

    def read(self, job: object, state: State | None, again: int | None = None) -> Look:
        """Return what is said of a job.

        :param state: how it stands, if the reply's status code has said so.
        :param again: milliseconds that the reply's headers ask us to wait.
        """
        try:
            state = state or self.state(job)
            if state is None:
                return Miss("nonsense", "The service's answer does not say how the job stands.")
            done = state is State.SUCCEEDED
            return Reading(
                state,
                self._percent(job),
                self._message(job, state),
                _text(self._shown("title", job)),
                self._needed("result", job) if done else None,
                _media(self._needed("file", job)) if done else None,
                self._wait(job) if again is None else again,
                self._lines(job),
            )
        except (Senseless, ValueError, RecursionError):
            # Text that cannot be told as JSON among them.
            return Miss("nonsense", "The service's answer made no sense.")

    def _needed(self, field: str, job: object) -> Any:
        expression = self._fields.get(field)
        return expression(job) if expression else None

    def _shown(self, field: str, job: object) -> Any:
        """Return what is only shown, or can be done without: if it has no answer, it is not there."""
        try:
            return self._needed(field, job)
        except Senseless:
            return None

    def _percent(self, job: object) -> float | None:
        if "done" not in self._fields:
            return _number(self._shown("percent", job))
        done, total = _number(self._shown("done", job)), _number(self._shown("total", job))
        return done / total * 100 if done is not None and total else None

    def _message(self, job: object, state: State) -> str:
        reason = _text(self._shown("error", job)) if state in (State.FAILED, State.CANCELLED) else ""
        return reason or _text(self._shown("message", job))

    def _lines(self, job: object) -> Sequence[Line | str]:
        said = self._shown("lines", job)
        return [_line(each) for each in said] if isinstance(said, list) else ()

    def _wait(self, job: object) -> int | None:
        seconds = _number(self._shown("again", job))
        return None if seconds is None else int(max(0.0, min(seconds, _AGAIN_MOST)) * 1000)


def _number(value: object) -> float | None:
    """Return a number; text of one, with or without a percent sign, is one too."""
    if isinstance(value, str):
        text = value.strip().removesuffix("%").rstrip()
        return float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _line(value: object) -> Line | str:
    """Return one line; of an object without text all of it is what is beside the text."""
    if not isinstance(value, dict):
        return _text(value)
    level = value.get("level")
    level = level.lower() if isinstance(level, str) else "info"
    return Line(_text(value.get("text")), level, value.get("data") if "text" in value else value)


def _text(value: object) -> str:
    """Return what is to be shown to people; of what is no text, its JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:_TEXT_MOST]


def _media(value: object) -> str | None:
    """Return a file's media type; of anything else that is there, that there is a file."""
    if not value:
        return None
    return value if isinstance(value, str) and len(value) <= 100 and _MEDIA.fullmatch(value) else BYTES
