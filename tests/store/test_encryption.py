"""The cipher: values decrypt only with their key and at their location, and keys are checked at the start."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationError, MissingKey
from app.sessions.service import open_store
from app.settings import Settings
from app.store import encryption as module
from app.store import rows
from app.store.encryption import PLAIN, Cipher, DecryptionError, cipher_from_keys, key_id
from tests.store.encrypted import NEW, OLD, keys_of, unpadded

LOCATION = ("sessions.answers", "visit", "user123")
PADDED = Cipher([NEW])


JSON_TEXTS = st.text().map(rows.dumps)


@given(JSON_TEXTS, st.text(max_size=9), st.text(st.characters(exclude_characters="~", codec="utf-8"), max_size=9))
def test_value_decrypts_only_at_its_location_and_with_its_key(text: str, survey_id: str, user_id: str) -> None:
    """Another key, column, session or version raises; the session's name when set aside counts as the same."""
    cipher, location = Cipher([NEW, OLD]), ("session_history.data", survey_id, user_id, 7)
    encrypted = cipher.encrypt(text, location)
    assert encrypted.startswith(f"enc:1:{key_id(NEW)}:")
    assert cipher.decrypt(encrypted, location) == Cipher([OLD, NEW]).decrypt(encrypted, location) == text
    assert cipher.decrypt(encrypted, (*location[:2], f"{user_id}~set-aside-2026", 7)) == text
    for other in (
        ("session_history.answer", *location[1:]), (location[0], survey_id + "x", *location[2:]),
        (*location[:2], user_id + "x", 7), (*location[:3], 8), location[:3],
        ("session_history.data", survey_id + user_id, "", 7) if user_id else ("", *location[1:]),
    ):  # fmt: skip
        with pytest.raises(DecryptionError):
            cipher.decrypt(encrypted, other)
    with pytest.raises(MissingKey):
        Cipher([OLD]).decrypt(encrypted, location)


@given(st.binary(max_size=3000).map(lambda value: rows.dumps(value.hex())), st.integers(0, 2999))
def test_length_of_an_encrypted_value_tells_only_its_size_class(text: str, shorter: int) -> None:
    """64, 128, 256, … bytes of JSON: values of one class have one length, those of different classes differ."""
    cipher, other = Cipher([NEW]), rows.dumps("é" * (min(shorter, len(text)) // 2))
    classes = [next(size for size in module.SIZE_CLASSES if size >= len(value.encode())) for value in (text, other)]
    lengths = [len(cipher.encrypt(value, LOCATION)) for value in (text, other)]
    assert (lengths[0] == lengths[1]) == (classes[0] == classes[1])
    assert lengths == [cipher.encrypted_length(size) for size in classes]
    assert all(size == 64 or size < 2 * len(value.encode()) for size, value in zip(classes, (text, other), strict=True))
    assert cipher.decrypt(cipher.encrypt(text, LOCATION), LOCATION) == text


def test_size_classes_suffice_for_the_largest_value() -> None:
    """A whole state is at most 1 MiB; a larger value is still encrypted."""
    assert module.SIZE_CLASSES[0] == 64
    assert module.SIZE_CLASSES[-1] >= 4 * 2**20
    text = "x" * (module.SIZE_CLASSES[-1] + 1)
    assert PADDED.decrypt(PADDED.encrypt(text, LOCATION), LOCATION) == text


def test_unpadded_value_of_an_earlier_release_is_readable() -> None:
    """Its length told what it was."""
    assert PADDED.decrypt(unpadded(PADDED, "true", LOCATION), LOCATION) == "true"


@given(st.data())
def test_decrypt_raises_when_any_byte_was_changed(data: st.DataObject) -> None:
    """GCM's tag covers nonce and text. No other exception is raised."""
    cipher = Cipher([NEW])
    encrypted = cipher.encrypt('{"S1":"x"}', LOCATION)
    head, body = encrypted[: len(cipher.prefix)], encrypted[len(cipher.prefix) :]
    raw = bytearray(base64.urlsafe_b64decode(body))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    for wrong in (
        head + base64.urlsafe_b64encode(raw).decode(),
        encrypted[: data.draw(st.integers(4, len(encrypted) - 4))],
    ):
        with pytest.raises((DecryptionError, MissingKey)):
            cipher.decrypt(wrong, LOCATION)


@given(st.text())
def test_decrypt_raises_for_any_text_after_the_prefix(text: str) -> None:
    """Whatever was written to the database by hand."""
    with pytest.raises((DecryptionError, MissingKey)):
        Cipher([NEW]).decrypt(f"enc:{text}", LOCATION)


def test_newer_format_raises_missing_key_not_decryption_error() -> None:
    """So that an older release, running beside a newer one, sets nothing aside."""
    encrypted = Cipher([NEW]).encrypt("{}", LOCATION).replace("enc:1:", "enc:2:", 1)
    with pytest.raises(MissingKey):
        Cipher([NEW]).decrypt(encrypted, LOCATION)


def test_nonce_is_never_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value has its own nonce from os.urandom, before the ciphertext."""
    nonces: list[bytes] = []
    real = module.os.urandom
    monkeypatch.setattr(module.os, "urandom", lambda size: nonces.append(real(size)) or nonces[-1])
    cipher = Cipher([NEW])
    values = [cipher.encrypt("{}", LOCATION) for _ in range(100)]
    assert len(set(nonces)) == len(set(values)) == 100
    assert [base64.urlsafe_b64decode(value.rsplit(":", 1)[1])[:12] for value in values] == nonces


def test_values_are_unchanged_without_keys() -> None:
    """The cipher is off, and shared."""
    assert PLAIN.encrypt("{}", LOCATION) == PLAIN.decrypt("{}", LOCATION) == "{}"
    assert not PLAIN.is_on
    assert cipher_from_keys("") is PLAIN


@pytest.mark.parametrize(
    ("answers_keys", "message"),
    [
        ("nonsense!", "key 1 of 1"), (keys_of(NEW) + ",", "key 2 of 2"), (keys_of(NEW, b"short"), "key 2 of 2"),
        (keys_of(bytes(32)), "not random"), (keys_of(NEW, OLD, NEW), "twice"), (keys_of(NEW) + ",plain", "key 2 of 2"), ("plain,é", "key 1 of 1"),
        (base64.b64encode(NEW).decode()[:-1], "key 1 of 1"), (NEW.hex(), "key 1 of 1"),
    ],
)  # fmt: skip
def test_start_fails_without_showing_the_keys_when_they_are_invalid(
    answers_keys: str, message: str, settings: Settings
) -> None:
    """The message says which key is invalid."""
    wrong = Settings(database_url=settings.database_url, surveys_dir=settings.surveys_dir, answers_keys=answers_keys)
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_store(wrong)
    shown = f"{caught.value!r} {wrong!r} {caught.value.__context__!r}"
    assert not any(item.strip() in shown for item in answers_keys.split(",") if len(item) > 5)


def test_keys_are_equal_in_both_base64_alphabets() -> None:
    """As from ``openssl rand -base64 32`` and from Python's ``secrets``; surrounding blanks are ignored."""
    key = bytes(range(0xDF, 0xFF))
    plain, url = base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()
    assert plain != url
    assert cipher_from_keys(f" {plain} ").prefix == cipher_from_keys(url).prefix == f"enc:1:{key_id(key)}:"
