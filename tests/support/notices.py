"""A mail server and a chat room of this machine's, to see what arrives."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from lifecycle.domain.notices import CHOICES
from lifecycle.models import Channel, Team
from lifecycle.sealing import seal
from portal.accounts.models import User

EVENTS = [event.value for event in CHOICES]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_addresses() -> None:
    for user in User.objects.all():
        User.objects.filter(pk=user.pk).update(email=f"{user.username}@example.org")


def channel(address: str, *, name: str = "room", events: Any = EVENTS, team: Team | None = None, at: Any) -> Channel:
    made = {"shown": "shown", "created_at": at, "created_by_name": "test"}
    return Channel.objects.create(name=name, team=team, url=seal(address), events=list(events), **made)


@dataclass
class Mailbox:
    """What a mail server took. It refuses recipients in ``refused``."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=Stagegate<stagegate@example.org>"

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802 - aiosmtpd's name
        if address in self.refused:
            return "550 nobody here by that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def to(self, name: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == f"{name}@example.org"]


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    box = Mailbox(free_port())
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@dataclass
class Room:
    """What a webhook took; it answers with ``status``, and only when ``answers`` is set."""

    port: int = 0
    status: int = 200
    answers: threading.Event = field(default_factory=threading.Event)
    taken: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"json://bot:hunter2@127.0.0.1:{self.port}/very-secret-path?+X-Key=header-key"


@contextmanager
def chat_room() -> Iterator[Room]:
    room = Room()
    room.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            room.answers.wait(30)
            if room.status < 300:
                room.taken.append(json.loads(body))
            self.send_response(room.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    room.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield room
    finally:
        room.answers.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
