"""Why a request is not answered with predictions."""

from __future__ import annotations

ECHO_LENGTH = 60


class RefusedError(Exception):
    """The request is not answered: an HTTP status, MLflow's error code, and a reason for the caller to read."""

    def __init__(self, message: str, *, status: int = 400, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code


def quoted(value: object) -> str:
    """A value as it may be repeated to the caller and the log: on one line, and short."""
    text = repr(value)
    return text if len(text) <= ECHO_LENGTH else f"{text[:ECHO_LENGTH]}..."


def listed(names: list[str]) -> str:
    """Column names for a message, the first ten of them."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(quoted, names[:10])) + more


def printable(text: str) -> str:
    """Untrusted text for one line of a terminal or log: nothing that ends the line or moves the cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)


def shortened(message: str, *, length: int = 600) -> str:
    """A message without its middle when it is long: MLflow repeats the whole input before it says what is wrong."""
    if len(message) <= length:
        return message
    return f"{message[: length // 3]} ... {message[-2 * length // 3 :]}"
