"""What HEAD answers where GET would have to compute its body."""

from collections.abc import Mapping

from fastapi import Response


def head(media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer without a body and without its length, which is not known (RFC 9110 section 8.6)."""
    answer = Response(media_type=media_type, headers=headers)
    del answer.headers["content-length"]
    return answer
