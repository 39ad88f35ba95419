"""Has a client what it asks for, as If-None-Match says (RFC 9110 13.1.2)?"""

import re
from collections.abc import Sequence

TAG = re.compile(r'(?:W/)?("[^"]*")')


def is_known(fields: Sequence[str], tag: str) -> bool:
    """`fields` are the values of If-None-Match. They are compared with the strong `tag` by the weak comparison: a cache
    that compresses a file on its way makes the tag weak."""
    return any(field.strip() == "*" or tag in TAG.findall(field) for field in fields)
