"""Make the private key that signs the record's checkpoints."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from lifecycle.domain import checkpoints


class Command(BaseCommand):
    help = "Make the private key that signs the record's checkpoints, and print the public key for auditors."
    # The check says that there is no key.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        path, pem = settings.CHECKPOINT_KEY_FILE, checkpoints.new_key()
        if path is None:
            raise CommandError("STAGEGATE_CHECKPOINT_KEY_FILE is none here; run this where checkpoints are signed.")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CommandError(
                f"{path} is there already and is left as it is. To begin with a new key, move it away first; auditors "
                "need both public keys from then on."
            ) from None
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        key = checkpoints.key_id(checkpoints.load_key(pem))
        self.stdout.write(f"The private key is in {path}. Keep a copy where no checkpoints are kept.\n")
        self.stdout.write(f"Give auditors the public key: {key}\n{checkpoints.public_pem(key)}")
