"""A webhook and a mail server of a test, on 127.0.0.1: what they were sent, and what they answer."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """Attributes: `received`, each notice as JSON; `status`, what the next one is answered with."""

    url: str = ""
    status: int = 200
    received: list[dict[str, Any]] = field(default_factory=list)

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(notice["subject"], notice["state"]) for notice in self.received]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A server whose address stays free when the block ends."""
    listener = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if listener.status < 300:
                listener.received.append(json.loads(body))
            self.send_response(listener.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        listener.url = f"http://127.0.0.1:{server.server_port}/hooks/swordfish"
        yield listener
        server.shutdown()
        thread.join()


@dataclass
class MailServer:
    """Attributes: `received`; `refused`, recipients that are answered with 550; `logins`, as sent."""

    port: int = 0
    received: list[EmailMessage] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    logins: list[str] = field(default_factory=list)


class _MailHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.say("220 test")
        while line := self.rfile.readline().decode().strip():
            self.say(self.answer(line))
            if line.upper() == "QUIT":
                return
            if line.upper() == "DATA":
                self.listener.received.append(self.read_mail())
                self.say("250 taken")

    @property
    def listener(self) -> MailServer:
        assert isinstance(self.server, _TcpServer)
        return self.server.listener

    def answer(self, line: str) -> str:
        verb = line.split(" ", 1)[0].upper()
        if verb == "AUTH":
            self.listener.logins.append(line)
        if verb == "RCPT" and any(each in line for each in self.listener.refused):
            return "550 nobody"
        answers = {"EHLO": "250-test\r\n250 AUTH PLAIN", "AUTH": "235 welcome", "DATA": "354 go on", "QUIT": "221 bye"}
        return answers.get(verb, "250 ok")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def read_mail(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
            lines.append(line)
        mail = message_from_string("\n".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        return mail


class _TcpServer(socketserver.ThreadingTCPServer):
    listener: MailServer


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """As much of SMTP as a mail needs; it offers a login and no encryption."""
    with _TcpServer(("127.0.0.1", 0), _MailHandler) as server:
        server.listener = MailServer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.listener
        server.shutdown()
        thread.join()
