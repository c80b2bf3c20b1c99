"""The ways a notice leaves: a webhook, and mail by SMTP. URLs are secrets: messages name the host and nothing else."""

import http.client
import json
import smtplib
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from lambda_pipeline.operations.notify.notice import Notice
from lambda_pipeline.settings import Settings

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notice on one channel.

    Attributes:
        channel: its kind and host.
        text: what the other side said, or why it was not sent.
        sent: whether the other side took it.
    """

    channel: str
    text: str
    sent: bool = False


class Channel(Protocol):
    """A way to deliver notices."""

    @property
    def name(self) -> str:
        """Kind and host, without a secret."""

    def send(self, notice: Notice) -> Delivery:
        """Deliver; every failure is a result, never an error."""


def configured_channels(settings: Settings) -> tuple[Channel, ...]:
    """The channels that settings name; none when nobody is to be told."""
    channels: list[Channel] = []
    if settings.notify_webhook_url:
        channels.append(Webhook(settings.notify_webhook_url.get_secret_value(), settings.notify_timeout_s))
    if settings.notify_smtp_url:
        url = settings.notify_smtp_url.get_secret_value()
        channels.append(Mail(url, settings.notify_mail_from, tuple(settings.notify_mail_to), settings.notify_timeout_s))
    return tuple(channels)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A POST of JSON; chats that understand Slack's webhooks show its `text`."""

    url: str
    timeout_s: float

    @property
    def name(self) -> str:
        """Kind and host; the path is a secret of most chats."""
        return f"webhook {urlsplit(self.url).hostname}"

    def send(self, notice: Notice) -> Delivery:
        """Deliver; anything but a status of 2xx is a failure."""
        request = urllib.request.Request(  # noqa: S310 (settings accept http and https only)
            self.url,
            data=json.dumps(notice.as_json()).encode(),
            headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "lambda_pipeline"},
        )
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout_s) as answer:
                return Delivery(self.name, f"HTTP {answer.status}", sent=True)
        except urllib.error.HTTPError as error:
            return Delivery(self.name, f"HTTP {error.code}")
        except urllib.error.URLError as error:
            return Delivery(self.name, _explain(error.reason))
        except (OSError, http.client.HTTPException) as error:
            return Delivery(self.name, _explain(error))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the notice elsewhere, and as a GET without its content."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail by SMTP; encrypted where the server offers it, and always where a password is sent."""

    url: str
    sender: str
    recipients: tuple[str, ...]
    timeout_s: float

    @property
    def name(self) -> str:
        """Kind and host."""
        return f"mail {urlsplit(self.url).hostname}"

    def send(self, notice: Notice) -> Delivery:
        """Deliver to all recipients; one that is refused is a failure."""
        parts = urlsplit(self.url)
        try:
            with _connect(parts, self.timeout_s) as server:
                if parts.username:
                    server.login(unquote(parts.username), unquote(parts.password or ""))
                refused = server.send_message(self._message(notice))
        except smtplib.SMTPResponseException as error:
            return Delivery(self.name, f"SMTP {error.smtp_code}")
        except (OSError, smtplib.SMTPException) as error:
            return Delivery(self.name, _explain(error))
        if refused:
            return Delivery(self.name, f"{len(refused)} of {len(self.recipients)} recipients were refused")
        return Delivery(self.name, f"taken for {len(self.recipients)} recipients", sent=True)

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(notice.title.split())
        message["From"] = self.sender or f"lambda_pipeline@{socket.getfqdn()}"
        message["To"] = ", ".join(self.recipients)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notice.text)
        return message


def _connect(parts: SplitResult, timeout_s: float) -> smtplib.SMTP:
    host = parts.hostname or ""
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        return smtplib.SMTP_SSL(host, parts.port or 465, timeout=timeout_s, context=context)
    server = smtplib.SMTP(host, parts.port or 25, timeout=timeout_s)
    try:
        _encrypt(server, context, needed=bool(parts.username) and host not in _LOOPBACK)
    except BaseException:
        server.close()
        raise
    return server


def _encrypt(server: smtplib.SMTP, context: ssl.SSLContext, *, needed: bool) -> None:
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=context)
    elif needed:
        raise smtplib.SMTPNotSupportedError("it offers no encryption, and a password is configured")


def _explain(error: BaseException | str) -> str:
    """What the network says, without a URL."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"{len(error.recipients)} recipients were refused"
    return str(error) or type(error).__name__
