"""A mailbox, by SMTP."""

import re
import smtplib
import socket
import ssl
from collections.abc import Iterable
from email.message import EmailMessage
from email.utils import format_datetime

from apps.domain.errors import Problem
from apps.reporting.channels import addresses
from apps.reporting.channels.base import Channel, Message, Setting, Settings, Undeliverable

_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_TIMEOUT = 8.0  # seconds for every step of the conversation


class Mail(Channel):
    """Sends plain text mails; the key of the message is its Message-ID, so that a mailbox can tell a repeat."""

    name = "email"
    settings = (
        Setting(name="host", help="The name of the mail server."),
        Setting(name="port", help="587 with starttls, 465 with tls.", default="587"),
        Setting(name="security", help="How it is encrypted.", default="starttls", choices=("starttls", "tls", "none")),
        Setting(name="user", help="Who signs in there; empty: nobody does.", required=False),
        Setting(name="password", help="Their password.", required=False, secret=True),
        Setting(name="sender", help="The address it comes from."),
        Setting(name="recipient", help="The address it goes to."),
    )
    keyed = True

    @classmethod
    def problems(cls, given: Settings) -> Iterable[Problem]:
        """Say what is wrong with addresses and the port."""
        for name in ("sender", "recipient"):
            if not _MAILBOX.fullmatch(given.get(name, "")):
                yield Problem(field=name, value=given.get(name, ""), rule="is no address", remedy="write name@host")
        port = given.get("port") or "587"
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            yield Problem(field="port", value=port, rule="is no port", remedy="use a number up to 65535")
        if given.get("user") and given.get("security") == "none":
            rule = "would carry a password unencrypted"
            yield Problem(field="security", value="none", rule=rule, remedy="use starttls or tls")

    def send(self, message: Message) -> str:
        """Send the mail and return its Message-ID."""
        mail = self._mail(message)
        try:
            with self._session() as session:
                if self.given["user"]:
                    session.login(self.given["user"], self.given["password"])
                session.send_message(mail)
        except (smtplib.SMTPException, OSError) as error:
            raise _sorted(error) from None
        return str(mail["Message-ID"])

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self.given["sender"], self.given["recipient"]
        mail["Subject"] = f"[{message.severity}] {' '.join(message.title.split())}"
        mail["Date"] = format_datetime(message.at)
        mail["Message-ID"] = f"<{message.key}@{self.given['sender'].rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.body or message.title)
        if attached := message.attachment:
            mail.add_attachment(attached.content, maintype="application", subtype="pdf", filename=attached.name)
        return mail

    def _session(self) -> smtplib.SMTP:
        host, port = self.given["host"], int(self.given["port"])
        ip = addresses.resolve(host, port)
        context = ssl.create_default_context()
        if self.given["security"] == "tls":
            return _SecureSession(host, port, ip, context)
        session = _Session(host, port, ip)
        if self.given["security"] == "starttls":
            try:
                session.starttls(context=context)
            except (smtplib.SMTPException, OSError):
                session.close()
                raise
        return session


class _Session(smtplib.SMTP):
    """Connects to an address that was judged, and calls the server by its name."""

    def __init__(self, host: str, port: int, ip: str) -> None:
        self._ip = ip
        super().__init__(host, port, timeout=_TIMEOUT)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((self._ip, port), timeout)


class _SecureSession(smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""

    def __init__(self, host: str, port: int, ip: str, context: ssl.SSLContext) -> None:
        self._ip, self._name = ip, host
        super().__init__(host, port, timeout=_TIMEOUT, context=context)

    def _get_socket(self, host: str, port: int, timeout: float) -> ssl.SSLSocket:
        link = socket.create_connection((self._ip, port), timeout)
        return self.context.wrap_socket(link, server_hostname=self._name)


def _sorted(error: smtplib.SMTPException | OSError) -> Undeliverable:
    """Say whether the mail certainly did not go: an answer of 4xx is for now, one of 5xx for good."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            codes = [code for code, _ in error.recipients.values()]
            return Undeliverable(f"The recipient was refused: {codes}.", permanent=all(code >= 500 for code in codes))
        case smtplib.SMTPResponseException():
            words = (
                str(error.smtp_error, "utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            )
            sentence = f"The mail server said {error.smtp_code} {' '.join(words.split())[:200]}"
            return Undeliverable(sentence, permanent=error.smtp_code >= 500)
        case smtplib.SMTPNotSupportedError():
            return Undeliverable(f"The mail server cannot do that: {error}", permanent=True)
        case ConnectionRefusedError() | socket.gaierror() | ssl.SSLError():
            return Undeliverable(f"No connection to the mail server: {error}")
    return Undeliverable(f"The mail server did not answer: {type(error).__name__} {error}".strip(), unclear=True)
