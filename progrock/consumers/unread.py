"""How much of what a client was sent it may not have read: counted, since a web server does not say."""

from __future__ import annotations

import secrets

ASK = 64 * 1024
"""Bytes after which a client is asked to say that it has read so far."""
HOLD = 256 * 1024
"""Bytes unread by a client that says what it reads, with which it is sent no more updates: more than a browser needs
to be kept busy, and ten thousand clients that do not read are 2.5 GB at most."""
SLOW = 1024 * 1024
"""Bytes unread, perhaps, by one that does not say, with which it is sent updates once a second."""
MOST = 4 * 1024 * 1024
"""Bytes with which any client is sent away: what is more than that is not for a person to look at."""
HORIZON = 60.0
"""Seconds after which a silent client has read what it was sent: servers ping it after 20 s, and wait for 20 or 30.
One that says something is there, to them, whether it reads or not."""


class Unread:
    """The bytes on their way to one client.

    :param now: the time, in seconds of any clock.
    """

    def __init__(self, now: float) -> None:
        self.says = False
        """Whether the client says what it has read."""
        self._sent = 0
        self._read = 0
        self._asked = 0
        # Of each number that it was asked to repeat, what had been sent by then. Not to be guessed: a client that
        # claims to have read what it has not would cost as much memory as it likes.
        self._asks: dict[int, int] = {}
        self._turned = now
        self._sent_then = 0
        self._silent = True

    def sent(self, size: int, now: float) -> int:
        """Count a frame.

        :param size: its length; that of its text will do, which is in ASCII for the most part.
        :param now: the time, in seconds.
        :returns: how many bytes the client may not have read.
        """
        self._sent += size
        if now - self._turned > HORIZON:
            if self._silent:
                self._read = max(self._read, self._sent_then)
            self._sent_then, self._turned, self._silent = self._sent, now, True
        return self.bytes

    def heard(self) -> None:
        """Note that the client has said something."""
        self._silent = False

    @property
    def bytes(self) -> int:
        """How many it may not have read."""
        return self._sent - self._read

    def ask(self, *, now: bool = False) -> int | None:
        """Return the number for a client to repeat, if it is time to ask.

        :param now: whether it is, however little was sent.
        """
        if self._sent - self._asked < ASK and not now:
            return None
        self._asked = self._sent
        number = secrets.randbits(48)
        self._asks[number] = self._sent
        if len(self._asks) > MOST // ASK:
            del self._asks[next(iter(self._asks))]
        return number

    def ack(self, number: int) -> None:
        """Take a client's word for it that it has read so far; a number that it was not asked to repeat is none."""
        read = self._asks.get(number)
        if read is not None:
            self.says = True
            self._read = max(self._read, read)
            self._asks = {number: sent for number, sent in self._asks.items() if sent > read}

    @property
    def held(self) -> bool:
        """Whether it is to read, and say so, before it is sent more."""
        return self.says and bool(self._asks) and self.bytes > HOLD

    @property
    def slow(self) -> bool:
        """Whether it does not say what it reads, and may be behind."""
        return not self.says and self.bytes > SLOW
