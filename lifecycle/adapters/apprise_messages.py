"""E-mail and chat through Apprise. Which of its services may be used, and with what, is decided here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, OverflowMode
from apprise.exception import AppriseException
from apprise.plugins import url_to_dict
from apprise.plugins.email import NotifyEmail
from django.conf import settings

from lifecycle.domain.notices import line
from lifecycle.ports import Message, PermanentError, TemporaryError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
LONGEST_ERROR = 300
SHORTEST_SECRET = 4
"""Shorter parts of an address are too common to be taken out of an error."""

MAIL = ("mailto", "mailtos")
BY_TOKEN = {
    "slack": "Slack",
    "discord": "Discord",
    "gchat": "Google Chat",
    "webex": "Webex",
    "wxteams": "Webex",
    "tgram": "Telegram",
    "zulip": "Zulip",
    "ntfy": "ntfy",
    "ntfys": "ntfy",
    "pagerduty": "PagerDuty",
    "opsgenie": "Opsgenie",
}
"""Services that an address names by secrets alone: not even its host may be shown."""
BY_HOST = {
    "workflow": "Microsoft Teams",
    "workflows": "Microsoft Teams",
    "mmost": "Mattermost",
    "mmosts": "Mattermost",
    "rocket": "Rocket.Chat",
    "rockets": "Rocket.Chat",
    "nctalk": "Nextcloud Talk",
    "nctalks": "Nextcloud Talk",
    "gotify": "Gotify",
    "gotifys": "Gotify",
    "json": "Webhook",
    "jsons": "Webhook",
}
"""Services that are reached at a host of one's own."""
SCHEMES = (*MAIL, *BY_TOKEN, *BY_HOST)
REFUSED = {
    "template": "a file on this machine would be read",
    "pgp": "a file on this machine would be read",
    "pgppub": "a file on this machine would be read",
    "pgpprv": "a file on this machine would be read",
    "pgpkey": "a file on this machine would be read",
    "wkd": "keys would be fetched from elsewhere",
    "redirect": "redirects are never followed",
    "verify": "certificates are always checked",
    "retry": "Stagegate tries again by itself",
    "wait": "Stagegate tries again by itself",
    "rto": "time-outs are fixed",
    "cto": "time-outs are fixed",
}
"""Parameters that an address may not have, and why."""


class AppriseMessages:
    """Apprise, one service at a time: no configuration files, no plugins of its users, no attachments, no retries."""

    def describe(self, address: str) -> str:
        found = _read(address)
        service = _service(found)
        if isinstance(service, NotifyEmail):
            return line(f"E-mail to {', '.join(email for _, email in service.targets)}")
        if found["schema"] in BY_TOKEN:
            return BY_TOKEN[found["schema"]]
        return line(f"{BY_HOST[found['schema']]} at {service.host}{f':{service.port}' if service.port else ''}")

    def send(self, address: str, message: Message, *, to: str = "") -> None:
        found = _read(address)
        if to:
            found["targets"] = [to]
        service = _service(found)
        form, body, is_mail = NotifyFormat.TEXT, message.text, False
        if isinstance(service, NotifyEmail):
            form, body, is_mail = NotifyFormat.HTML, message.html, True
            service.headers |= {"X-Stagegate-Notice": message.key, "Auto-Submitted": "auto-generated"}
        apprise = Apprise(asset=service.asset)
        apprise.add(service)
        with apprise.notify(
            title=message.subject,
            body=body,
            body_format=form,
            notify_type=message.tone.value,
            log_level=logging.DEBUG,
        ) as result:
            if not result:
                said = (entry for entry in result.logs() if _is_fit(entry.level, entry.message, is_mail=is_mail))
                raise TemporaryError(_without(_secrets(found, address), " ".join(each.message for each in said)))


def _asset() -> AppriseAsset:
    """Nothing is loaded from elsewhere: no pictures, no plugins, no files."""
    return AppriseAsset(
        app_id="Stagegate",
        app_desc="Stagegate",
        app_url=settings.PUBLIC_URL,
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        http_redirects=False,
        allow_templates=False,
        service_timeout=0,
        storage_mode="memory",
    )


def _read(address: str) -> dict[str, Any]:
    """The parts of an address. Raises PermanentError."""
    try:
        found = url_to_dict(address.strip())  # type: ignore[no-untyped-call]
    except ValueError:
        found = None
    if not found or found.get("schema") not in SCHEMES:
        raise PermanentError(
            f"This is not the address of a service that notices can go to. They begin with: {', '.join(SCHEMES)} "
            "and ://, as Apprise writes them."
        )
    refused = next((name for name in REFUSED if name in found.get("qsd", {})), None)
    if refused is not None:
        raise PermanentError(f"An address may not have the parameter “{refused}”: {REFUSED[refused]}.")
    return dict(found)


def _service(found: Mapping[str, Any]) -> NotifyBase:
    """Raises PermanentError, without a word of Apprise's, which may repeat the address."""
    try:
        service = Apprise.instantiate(dict(found), asset=_asset(), suppress_exceptions=False)
    except (AppriseException, TypeError, ValueError):
        service = None
    if not isinstance(service, NotifyBase):
        raise PermanentError("Apprise cannot read this address: look at how it writes those of this service.")
    service.socket_connect_timeout = CONNECT_SECONDS if found["schema"] not in MAIL else ANSWER_SECONDS
    service.socket_read_timeout = ANSWER_SECONDS
    service.overflow_mode = OverflowMode.TRUNCATE
    return service


# ---------------------------------------------------------------- errors without secrets


def _is_fit(level: str, text: str, *, is_mail: bool) -> bool:
    """What a mail server said is worth reading; of the others, the details may hold the whole address."""
    return level in ("WARNING", "ERROR", "CRITICAL") or (is_mail and text.startswith("Socket Exception"))


def _secrets(found: Mapping[str, Any], address: str) -> list[str]:
    """Everything in an address but its service and, where that may be seen, its host; the longest first."""
    parts = [address, *_texts(value for name, value in found.items() if name not in ("schema", "host", "targets"))]
    if found["schema"] in BY_TOKEN:
        parts.append(str(found.get("host") or ""))
    pieces = {piece for part in parts for piece in (part, *part.split("/"))}
    return sorted({each for piece in pieces for each in (piece, unquote(piece))}, key=len, reverse=True)


def _texts(values: Iterable[Any]) -> list[str]:
    """All texts in any depth."""
    found: list[str] = []
    for value in values:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, Mapping):
            found += _texts(value.values())
        elif isinstance(value, list | tuple | set):
            found += _texts(value)
    return found


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "•••")
    return line(text, LONGEST_ERROR) or "It was not taken, and nobody said why."
