"""The words of the elements, as Django's catalogues translate them: each one also stands in `words.js` and its like."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop

from .protocol import State

WORDS = (
    gettext_noop(", "),
    gettext_noop("Waiting"),
    gettext_noop("Running"),
    gettext_noop("Cancelling"),
    gettext_noop("Done"),
    gettext_noop("Failed"),
    gettext_noop("Cancelled"),
    gettext_noop("Started"),
    gettext_noop("The service reports a failure."),
    gettext_noop("The service stopped it."),
    gettext_noop("Nobody knows whether it was started."),
    gettext_noop("It was not started in time."),
    gettext_noop("The service has lost it."),
    gettext_noop("The service refuses it."),
    gettext_noop("The service does not let us in."),
    gettext_noop("The service talks nonsense."),
    gettext_noop("The service did not answer."),
    gettext_noop("It took too long."),
    gettext_noop("We lost sight of it."),
    gettext_noop("Its service is not set up here any more."),
    gettext_noop("No reason was given."),
    gettext_noop("any moment"),
    gettext_noop("about {time} left"),
    gettext_noop("nothing heard yet"),
    gettext_noop("last answer {time} ago"),
    gettext_noop("no movement for {time}"),
    gettext_noop("Connection lost. This is how it stood."),
    gettext_noop("You are signed out. This is how it stood."),
    gettext_noop("You are signed out."),
    gettext_noop("Waiting for our turn to look, {time} late. The delay is on our side."),
    gettext_noop("No answer, asking again"),
    gettext_noop("tries: {count}"),
    gettext_noop("Still waiting after {time}"),
    gettext_noop("Still going"),
    gettext_noop("Still cancelling"),
    gettext_noop("attempt {count}"),
    gettext_noop("Cancel"),
    gettext_noop("Retry"),
    gettext_noop("{action} once connected"),
    gettext_noop("That did not work"),
    gettext_noop("The server does not know this job."),
    gettext_noop("Open the file"),
    gettext_noop("Journal"),
    gettext_noop("Dismiss"),
)
"""In English, which is what a page without them gets. `{time}` and the like are replaced in the browser."""

STATES = {
    State.PENDING: "Waiting",
    State.RUNNING: "Running",
    State.CANCELLING: "Cancelling",
    State.SUCCEEDED: "Done",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
}
"""How a job stands, each of them one of the words."""
REASONS = {
    "remote": "The service reports a failure.",
    "stopped": "The service stopped it.",
    "start_unknown": "Nobody knows whether it was started.",
    "expired": "It was not started in time.",
    "vanished": "The service has lost it.",
    "refused": "The service refuses it.",
    "auth": "The service does not let us in.",
    "nonsense": "The service talks nonsense.",
    "unreachable": "The service did not answer.",
    "deadline": "It took too long.",
    "lost": "We lost sight of it.",
    "config": "Its service is not set up here any more.",
}
"""Why a job failed, by the code of its error; words too."""


def translations() -> dict[str, str]:
    """Return the words of the active language by the English ones, without those that are the same."""
    both = ((words, gettext(words)) for words in WORDS)
    return {words: translated for words, translated in both if translated != words}
