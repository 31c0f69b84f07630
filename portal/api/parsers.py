"""What the API reads: JSON of a bounded size."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

MAX_BYTES = 256 * 1024


class TooLargeError(APIException):
    status_code = 413
    default_code = "too_large"
    default_detail = f"A request's body is at most {MAX_BYTES // 1024} KiB."


def check_size(meta: Mapping[str, Any]) -> None:
    """Raises TooLargeError when the header says that the body is too large: nothing of it needs to be read."""
    announced = str(meta.get("CONTENT_LENGTH") or "0")
    if announced.isascii() and announced.isdigit() and (len(announced) > 15 or int(announced) > MAX_BYTES):
        raise TooLargeError


class BoundedJSONParser(JSONParser):
    """The framework's own parser reads a body of any size, and gives up with a 500 on a thousand nested lists."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise TooLargeError
        try:
            return super().parse(io.BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - it is nested too deeply.") from None
