"""A Slack channel, by an incoming webhook."""

from collections.abc import Iterable

from apps.domain.errors import Problem
from apps.reporting.channels import addresses, web
from apps.reporting.channels.base import Channel, Message, Setting, Settings

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Slack(Channel):
    """Posts plain text; nothing in it can mention anybody or hide an address."""

    name = "slack"
    settings = (Setting(name="url", help="https://hooks.slack.com/services/...", secret=True, longest=300),)

    @classmethod
    def problems(cls, given: Settings) -> Iterable[Problem]:
        """Say whether the address is one of Slack."""
        problem = addresses.url_problem("url", given.get("url", ""), hosts=("hooks.slack.com",))
        return [problem] if problem else []

    def send(self, message: Message) -> str:
        """Post the message."""
        body = {"text": message.text.translate(_ESCAPES), "mrkdwn": False}
        return web.post(self.given["url"], web.packed(body)).words[:100]
