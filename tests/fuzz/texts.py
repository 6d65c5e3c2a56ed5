"""Random text frames, from nearly valid to noise, and the check of ``messages.parse`` for each."""

import json
from random import Random
from typing import Any

from app.core import strict_json
from app.web.ws import messages
from app.web.ws.messages import CLIENT_TYPES, BadMessage

TYPES = (*sorted(CLIENT_TYPES), "Answer", "state", "", "ping ", "\N{KELVIN SIGN}", "__class__")
KEYS = (
    "type",
    "id",
    "step",
    "value",
    "audio",
    "confirmed",
    "language",
    "more",
    "",
    "__proto__",
    "id\N{COMBINING ACUTE ACCENT}",
)
TOKENS = (
    "null", "true", "-0.0", "1e308", "1e309", "-1", "9007199254740993", "1" * 400, "NaN", "-Infinity", "[]", "{}",
    '""', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\x"', "[" * 40, "]" * 40, '{"a":' * 20, "}" * 20,
    '{"k":1,"k":2}', ",", ":", '"', "\\", "\0", "\ufeff", "\u2028", "\ud800", "😀", " ", "\t", "/**/", "'", "x",
)  # fmt: skip
"""Values that JSON parsers disagree on or databases can't store, and the punctuation of JSON."""

MAX_DEPTH = 5


def text(random: Random) -> str:
    """Return a frame: usually a message with some of its text changed."""
    if random.random() < 0.05:
        return "".join(random.choices(TOKENS, k=random.randrange(12)))
    frame = json.dumps(_message(random), ensure_ascii=random.random() < 0.5)
    for _ in range(random.choice((0, 0, 1, 1, 2, 6))):
        frame = _changed(random, frame)
    return frame


def is_accepted(frame: str | bytes) -> bool:
    """Return whether ``parse`` accepts the frame.

    Raises:
        AssertionError: the message does not survive a round trip through JSON.
        Exception: ``parse`` raised something other than BadMessage, or its error can't be serialized.
    """
    try:
        message = messages.parse(frame)
    except BadMessage as bad:
        strict_json.encode({"id": bad.message_id, "code": bad.code, "message": bad.message})
        return False
    encoded = strict_json.encode(message.model_dump())
    assert repr(messages.parse(encoded)) == repr(message), frame
    decoded = json.loads(frame)
    sent = message.model_dump(exclude_defaults=True)
    assert all(repr(value) == repr(decoded[name]) for name, value in sent.items()), frame
    return True


def _message(random: Random) -> Any:
    if random.random() < 0.05:
        return _value(random, 0)
    message: dict[str, Any] = {"type": random.choice(TYPES), "id": f"m{random.randrange(1000)}", "step": "Q1"}
    message |= {"value": _value(random, 0), "audio": random.random() < 0.5, "language": "de"}
    while random.random() < 0.3:
        message[random.choice(KEYS)] = _value(random, 0)
    while message and random.random() < 0.15:
        del message[random.choice(list(message))]
    return message


def _value(random: Random, depth: int) -> Any:
    kind = random.randrange(8 if depth < MAX_DEPTH else 6)
    match kind:
        case 0:
            return random.choice((None, True, False, 0, 1, -0.0, 2**53, 2**53 + 1, -(2**63), 1e300, 0.1))
        case 1:
            return random.uniform(-1e6, 1e6)
        case 2 | 3:
            return "".join(random.choices('ab "\\/\n\0é\u0301😀\u202e\uffff\ud800', k=random.randrange(8)))
        case 4:
            return "x" * random.choice((64, 65, 255, 256, 66_000)) if random.random() < 0.1 else "Q1"
        case 5:
            return random.randrange(-5, 5)
        case 6:
            return [_value(random, depth + 1) for _ in range(random.randrange(4))]
        case _:
            return {random.choice(KEYS): _value(random, depth + 1) for _ in range(random.randrange(4))}


def _changed(random: Random, frame: str) -> str:
    start = random.randrange(len(frame) + 1)
    end = min(len(frame), start + random.choice((0, 0, 1, 2, 9)))
    replacement = random.choice((random.choice(TOKENS), "", frame[start:end] * 2, chr(random.randrange(0x300))))
    return frame[:start] + replacement + frame[end:]
