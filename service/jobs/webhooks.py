"""Telling a job's end to an address that the client gave: signed, tried again, and only to hosts that are allowed.

The signature is that of Standard Webhooks: HMAC-SHA256 over id, time and body, so nobody can repeat an old message.
"""

import base64
import hashlib
import hmac
import http.client
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr

LEAST_SECRET = 16  # characters
WAIT_SECONDS = 10.0  # for the other side
MOST_TRIES = 8
FIRST_DELAY = 5.0  # seconds, and twice as long each time: eleven minutes in all


def refusal(address: str, hosts: Sequence[str]) -> str | None:
    """Why no webhook goes there; None where it may. `hosts` that are allowed: a.example, or b.example:8080."""
    if not hosts:
        return "this service sends none: its operator has allowed no host (--webhook-hosts)"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an address such as https://a.example/path"
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.password is not None:
        return "an address such as https://a.example/path, without a user's name"
    if any(not "!" <= character <= "~" for character in address):
        return "an address of printable ASCII characters"
    if (host, port) not in [host_and_port(one) for one in hosts]:
        return f"a host that is allowed here: {', '.join(hosts)}"
    return None


def checked_secret(secret: SecretStr) -> SecretStr:
    """Raises ValueError for one that could be guessed."""
    if len(secret) < LEAST_SECRET:
        raise ValueError(f"a secret of at least {LEAST_SECRET} characters is needed, and this one has {len(secret)}")
    return secret


def host_and_port(text: str) -> tuple[str, int | None]:
    """Of a host that is allowed, written as in an address: the same however it is capitalised. Raises ValueError."""
    wrong = f"a host is such as a.example, b.example:8080 or [::1]:8080, not {text!r}"
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if not host or parts.netloc != text or "@" in text:
        raise ValueError(wrong)
    return host, port


def checked_host(text: str) -> str:
    """As it is. Raises ValueError."""
    host_and_port(text)
    return text


def delay_after(tries: int) -> float | None:
    """Seconds until the next try; None where it was the last."""
    return None if tries >= MOST_TRIES else FIRST_DELAY * 2 ** (tries - 1)


def signature(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    digest = hmac.new(secret.encode(), f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def deliver(address: str, secret: str, identity: str, timestamp: int, body: bytes) -> int:
    """POST it once, following no redirect: that would lead to a host that nobody allowed. The answer's status.

    Raises OSError or http.client.HTTPException where there is no answer.
    """
    parts = urlsplit(address)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # Without a port http.client would take the last digits of an IPv6 address for one.
    connection = connect(parts.hostname or "", parts.port or connect.default_port, timeout=WAIT_SECONDS)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, identity, timestamp, body),
    }
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
