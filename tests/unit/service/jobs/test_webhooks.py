"""Webhooks go where they may, and are signed as the standard has it."""

import pytest

from service.jobs.webhooks import deliver, host_and_port, refusal, signature

HOSTS = ("a.example", "b.example:8080", "127.0.0.1:9", "C.Example:80", "[::1]", "[FE80::A]:8080")


@pytest.mark.parametrize(
    "address",
    [
        "https://a.example",
        "http://A.EXAMPLE/x?y=1",
        "http://b.example:8080/",
        "http://127.0.0.1:9",
        "http://c.example:80",
        "http://[::1]/",
        "http://[fe80::a]:8080/",
    ],
)
def test_hosts_that_are_allowed(address):
    assert refusal(address, HOSTS) is None


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://d.example/", "a host that is allowed here: a.example, b.example:8080"),
        ("http://a.example:8080/", "a host that is allowed"),
        ("http://b.example/", "a host that is allowed"),
        ("http://127.0.0.1/", "a host that is allowed"),
        ("http://[::1]:8080/", "a host that is allowed"),
        ("http://[fe80::a]/", "a host that is allowed"),
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


@pytest.mark.parametrize("host", ["", "a.example:x", "https://a.example", "a.example/x", "me@a.example", "[::1", ":8"])
def test_what_is_no_host_is_told(host):
    with pytest.raises(ValueError, match="a host is such as"):
        host_and_port(host)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://[::1]/x", ("::1", 80)),
        ("https://[fe80::1]/x", ("fe80::1", 443)),
        ("http://[::1]:81/x", ("::1", 81)),
        ("http://a.example/x", ("a.example", 80)),
    ],
)
def test_where_a_webhook_goes(address, expected, monkeypatch):
    reached = []

    def connected(place, *_):
        reached.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr("socket.create_connection", connected)
    with pytest.raises(ConnectionRefusedError):
        deliver(address, "secret", "id", 1, b"{}")
    assert reached == [expected]


def test_the_signature_is_that_of_standard_webhooks():
    """As OpenSSL computes it: printf 'id.1.{}' | openssl dgst -sha256 -hmac secret -binary | base64"""
    assert signature("secret", "id", 1, b"{}") == "v1,490pAcC1LQ1k1cOcmH0da199+A88OKCj0Io4WnJlp68="
