"""A Telegram chat, by a bot."""

import re
from collections.abc import Iterable

from apps.domain.errors import Problem
from apps.reporting.channels import addresses, botapi
from apps.reporting.channels.base import Attachment, Channel, Message, Setting, Settings

_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{20,100}")
_CHAT = re.compile(r"-?[0-9]{1,19}|@[A-Za-z0-9_]{4,32}")


class Telegram(Channel):
    """Sends plain text: nothing in it is taken for markup."""

    name = "telegram"
    settings = (
        Setting(name="token", help="What BotFather gave, like 123456:AbC...", secret=True),
        Setting(name="chat", help="The number of the chat, or @name of a public one."),
        Setting(name="address", help="Another Bot API server.", required=False, default=botapi.USUAL),
        Setting(
            name="control",
            help="Whether the bot takes orders from chats that were bound to a person.",
            default="no",
            choices=("no", "yes"),
        ),
    )

    @classmethod
    def problems(cls, given: Settings) -> Iterable[Problem]:
        """Say what is wrong with token, chat or address."""
        if not _TOKEN.fullmatch(given.get("token", "")):
            yield Problem(field="token", value="", rule="is no token of a bot", remedy="copy it from BotFather")
        if not _CHAT.fullmatch(given.get("chat", "")):
            rule, remedy = "is no chat", "use its number, or @name of a public one"
            yield Problem(field="chat", value=given.get("chat", ""), rule=rule, remedy=remedy)
        if given.get("address") and (problem := addresses.url_problem("address", given["address"])):
            yield problem

    def send(self, message: Message) -> str:
        """Send the message and return its number in the chat."""
        if message.attachment:
            return self._send_file(message, message.attachment)
        parameters = {
            "chat_id": self.given["chat"],
            "text": message.text[: botapi.LONGEST],
            "disable_notification": message.severity == "info",
            "link_preview_options": {"is_disabled": True},
        }
        result = botapi.call(self.given["address"], self.given["token"], "sendMessage", parameters)
        return str(result.get("message_id", "")) if isinstance(result, dict) else ""

    def _send_file(self, message: Message, attached: Attachment) -> str:
        """Send a file with the words below it."""
        parameters = {
            "chat_id": self.given["chat"],
            "caption": message.text[: botapi.LONGEST_CAPTION],
            "disable_notification": str(message.severity == "info").lower(),
        }
        result = botapi.send_file(self.given["address"], self.given["token"], parameters, attached)
        return str(result.get("message_id", "")) if isinstance(result, dict) else ""
