"""Webhooks go where they may, and are signed as the standard has it."""

import pytest

from service.jobs.webhooks import refusal, signature

HOSTS = ("a.example", "b.example:8080", "127.0.0.1:9")


@pytest.mark.parametrize(
    "address", ["https://a.example", "http://A.EXAMPLE/x?y=1", "http://b.example:8080/", "http://127.0.0.1:9"]
)
def test_hosts_that_are_allowed(address):
    assert refusal(address, HOSTS) is None


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://c.example/", "a host that is allowed here: a.example, b.example:8080"),
        ("http://a.example:8080/", "a host that is allowed"),
        ("http://b.example/", "a host that is allowed"),
        ("http://127.0.0.1/", "a host that is allowed"),
        ("http://a.example.c.example/", "a host that is allowed"),
        ("http://a.example@c.example/", "without a user's name"),
        ("http://c.example#@a.example/", "a host that is allowed"),
        ("http://c.example\\@a.example/", "without a user's name"),
        ("ftp://a.example/", "an address such as"),
        ("file:///etc/passwd", "an address such as"),
        ("a.example", "an address such as"),
        ("http://a.example:99999/", "an address such as"),
        ("http://[a.example/", "an address such as"),
        ("http://a.example/\r\nX: y", "printable"),
        ("http://a.example/ü", "printable"),
    ],
)
def test_other_addresses_are_refused(address, told):
    assert told in refusal(address, HOSTS)


def test_without_hosts_none_is_sent():
    assert "--webhook-hosts" in refusal("https://a.example", ())


def test_the_signature_is_that_of_standard_webhooks():
    """As OpenSSL computes it: printf 'id.1.{}' | openssl dgst -sha256 -hmac secret -binary | base64"""
    assert signature("secret", "id", 1, b"{}") == "v1,490pAcC1LQ1k1cOcmH0da199+A88OKCj0Io4WnJlp68="
