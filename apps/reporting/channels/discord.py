"""A Discord channel, by a webhook."""

from collections.abc import Iterable
from datetime import timedelta

from apps.domain.errors import Problem
from apps.reporting.channels import addresses, web
from apps.reporting.channels.base import Channel, Message, Setting, Settings, Undeliverable

LONGEST = 2000  # characters of a message, a limit of Discord


class Discord(Channel):
    """Posts plain text that mentions nobody, and waits for the number of the message."""

    name = "discord"
    settings = (Setting(name="url", help="https://discord.com/api/webhooks/...", secret=True, longest=300),)

    @classmethod
    def problems(cls, given: Settings) -> Iterable[Problem]:
        """Say whether the address is one of Discord."""
        url = given.get("url", "")
        problem = addresses.url_problem("url", url, hosts=("discord.com", "discordapp.com"))
        if problem is None and "?" in url:
            problem = Problem(field="url", value="", rule="has a question mark", remedy="leave it and the rest away")
        return [problem] if problem else []

    def send(self, message: Message) -> str:
        """Post the message; a wait that the body asks for goes before the header's."""
        text = message.text if len(message.text) <= LONGEST else message.text[: LONGEST - 1] + "\u2026"
        body = web.packed({"content": text, "allowed_mentions": {"parse": []}})
        answer = web.exchange(f"{self.given['url']}?wait=true", body)
        asked = answer.json.get("retry_after")
        if answer.status == 429 and isinstance(asked, int | float) and 0 <= asked < 10**7:
            raise Undeliverable(f"HTTP 429: {answer.words}", retry_after=timedelta(seconds=asked))
        web.judge(answer)
        return str(answer.json.get("id", ""))[:100]
