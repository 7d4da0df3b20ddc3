"""Parts of an address that pages of the site have made: nobody else names a queue, or a template."""

from __future__ import annotations

from django.core import signing
from django.urls import register_converter


class _Signed:
    """A text that is signed when an address is made of it, and looked through when one comes."""

    regex = r"[\w.:=-]{1,2000}"
    salt = "progrock.contrib.pluto_rt"

    def to_url(self, value: object) -> str:
        """Return the text, signed.

        :raises ValueError: if there is none, as where a page has not been given a name: there is no address then.
        """
        if not value:
            raise ValueError(f"expected a name, got {value!r}")
        return signing.Signer(salt=self.salt).sign_object(str(value))

    def to_python(self, value: str) -> str:
        """Return the text.

        :raises ValueError: if a page of ours did not say so, which is a 404.
        """
        try:
            return str(signing.Signer(salt=self.salt).unsign_object(value))
        except (signing.BadSignature, ValueError):
            raise ValueError("expected what a page of this site has put into the address") from None


class SignedQueue(_Signed):
    """The name of a queue."""

    salt = "progrock.contrib.pluto_rt.queue"


class SignedTemplate(_Signed):
    """The name of a template."""

    salt = "progrock.contrib.pluto_rt.template"


def register() -> None:
    """Make both known to `path`."""
    register_converter(SignedQueue, "pluto_rt_queue")
    register_converter(SignedTemplate, "pluto_rt_template")
