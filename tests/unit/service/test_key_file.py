"""Which files of keys are taken, and what is said of those that are not."""

import hashlib
import json

import pytest

from service.key_file import KeysError, read_keys

GOOD = """
[[keys]]
name = "alice"
key = "sesame"
rate = 30
share = 2

[[keys]]
name = "bob"
sha256 = "{}"
admin = true
""".format(hashlib.sha256(b"open").hexdigest())


def written(folder, text: str, name: str = "keys.toml", mode: int = 0o600):
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_toml_and_json_say_the_same(tmp_path):
    alice, bob = read_keys(written(tmp_path, GOOD))
    assert (alice.name, alice.rate, alice.share, alice.admin) == ("alice", 30, 2, False)
    assert (bob.name, bob.rate, bob.share, bob.admin) == ("bob", None, 1, True)
    assert (alice.digest, bob.digest) == tuple(hashlib.sha256(key).digest() for key in (b"sesame", b"open"))
    entries = {"keys": [alice.model_dump(exclude_unset=True), bob.model_dump(exclude_unset=True)]}
    assert read_keys(written(tmp_path, json.dumps(entries), "keys.json")) == [alice, bob]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o606, 0o610])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(tmp_path, mode):
    path = written(tmp_path, GOOD, mode=mode)
    with pytest.raises(KeysError, match=f"others may read or write it: chmod 600 {path}"):
        read_keys(path)


def test_a_mounted_secret_is_read_through_its_group(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: -1)  # the file is another's
    assert len(read_keys(written(tmp_path, GOOD, mode=0o440))) == 2
    for mode in (0o444, 0o460):
        (tmp_path / "keys.toml").chmod(mode)
        with pytest.raises(KeysError, match="chmod 600"):
            read_keys(tmp_path / "keys.toml")


ENTRY = '[[keys]]\nname = "{}"\nkey = "hush-{}"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "keys: Field required"),
        ("keys = []", "at least 1 item"),
        ("hush = [", "is not TOML"),
        ("[[keys]]\nname = 'a'\nkey = hush", "is not TOML at line 3, column 7"),
        ("[[keys]]\nname = 'a'", "keys.0: give either key or sha256"),
        ("[[keys]]\nname = 'a'\nkey = 'hush'\nsha256 = '" + "0" * 64 + "'", "give either key or sha256"),
        ("[[keys]]\nname = 'a'\nsha256 = 'hush'", "keys.0.sha256"),
        ("[[keys]]\nname = 'a b'\nkey = 'hush'", "keys.0.name"),
        ("[[keys]]\nname = 'api-key'\nkey = 'hush'", "api-key is the name of the key that the settings have"),
        ("[[keys]]\nname = 'a'\nkey = 'hush'\nrate = 0", "keys.0.rate: Input should be greater than 0"),
        ("[[keys]]\nname = 'a'\nkey = 'hush'\nrate = inf", "keys.0.rate"),
        ("[[keys]]\nname = 'a'\nkey = 'hush'\nshare = -1", "keys.0.share"),
        ("[[keys]]\nname = 'a'\nkey = 'hush'\nquota = 1", "keys.0.quota: Extra inputs are not permitted"),
        (ENTRY.format("a", 1) + ENTRY.format("a", 2), "a is there twice"),
        (ENTRY.format("a", 1) + ENTRY.format("b", 1), "a and b have the same key"),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_told(tmp_path, text, told):
    with pytest.raises(KeysError) as refused:
        read_keys(written(tmp_path, text))
    assert (
        told in str(refused.value) and "hush" not in str(refused.value) and "entry has [[keys]]" in str(refused.value)
    )


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KeysError, match=r"keys\.toml cannot be read: No such file"):
        read_keys(tmp_path / "keys.toml")
    with pytest.raises(KeysError, match="cannot be read: Is a directory"):
        read_keys(tmp_path)
    with pytest.raises(KeysError, match="is not JSON at line 1 column 2"):
        read_keys(written(tmp_path, "{", "keys.json"))
