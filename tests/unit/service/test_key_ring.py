"""The keys of now, and what is kept of those that have gone."""

import hashlib

import pytest

from service.engine.key import ANYBODY
from service.http.key_ring import KeyRing
from service.key_file import KeysError

ALICE = '[[keys]]\nname = "alice"\nkey = "sesame"\nrate = 30\n'
BOB = '[[keys]]\nname = "bob"\nkey = "open"\n'


def test_jobs_of_a_key_that_has_gone_keep_its_rate_and_nothing_used_is_forgotten_when_it_comes_back(tmp_path):
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(ALICE + BOB)
    ring = KeyRing(path=path)
    alice = ring.find(b"sesame")
    alice.key.use(100.0)
    path.write_text(BOB)
    ring.reload()
    assert ring.find(b"sesame") is None
    assert ring.of_owner(alice.owner) is alice.key and not alice.key.may_go_on
    path.write_text(ALICE.replace("sesame", "other") + BOB)
    ring.reload()
    again = ring.find(b"other")
    assert again.owner == alice.owner and again.key.allowance is alice.key.allowance
    assert ring.of_owner(alice.owner) is again.key
    assert ring.of_owner(hashlib.sha256(b"nobody").hexdigest()) is ANYBODY
    assert KeyRing("settings").of_owner(KeyRing("settings").find(b"settings").owner).name == "api-key"


def test_a_key_of_the_file_is_not_that_of_the_settings(tmp_path):
    """Else the file would take the operator's right to reload away, and say nothing."""
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(ALICE)
    with pytest.raises(KeysError, match="the key of alice is that of --api-key"):
        KeyRing("sesame", path)
    ring = KeyRing("settings", path)
    path.write_text(ALICE.replace("sesame", "settings"))
    with pytest.raises(KeysError):
        ring.reload()
    assert ring.find(b"settings").admin and ring.find(b"sesame").key.name == "alice"
