"""Random text frames, from nearly right to noise, and what must hold of ``messages.parse`` for each.

The random numbers are given, so that a seed repeats a case.
"""

import json
from random import Random
from typing import Any

from app.core import strict_json
from app.web.ws import messages
from app.web.ws.messages import CLIENT_TYPES, BadMessage

TYPES = (*sorted(CLIENT_TYPES), "Answer", "state", "", "ping ", "\N{KELVIN SIGN}", "__class__")
KEYS = ("type", "id", "step", "value", "audio", "more", "", "__proto__", "id\N{COMBINING ACUTE ACCENT}")
TOKENS = (
    "null", "true", "-0.0", "1e308", "1e309", "-1", "9007199254740993", "1" * 400, "NaN", "-Infinity", "[]", "{}",
    '""', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\x"', "[" * 40, "]" * 40, '{"a":' * 20, "}" * 20,
    '{"k":1,"k":2}', ",", ":", '"', "\\", "\0", "\ufeff", "\u2028", "\ud800", "😀", " ", "\t", "/**/", "'", "x",
)  # fmt: skip
"""What JSON's readers disagree on, what databases can't hold, and the marks that JSON is made of."""

MOST_DEPTH = 5


def text(random: Random) -> str:
    """Return a frame: mostly a message with some of its text changed."""
    if random.random() < 0.05:
        return "".join(random.choices(TOKENS, k=random.randrange(12)))
    words = json.dumps(_message(random), ensure_ascii=random.random() < 0.5)
    for _ in range(random.choice((0, 0, 1, 1, 2, 6))):
        words = _changed(random, words)
    return words


def judge(frame: str | bytes) -> bool:
    """Return whether it is a message.

    Raises:
        AssertionError: a message that does not come out of its own JSON the same, or an error that can't be sent.
        Exception: whatever ``parse`` should not raise.
    """
    try:
        message = messages.parse(frame)
    except BadMessage as bad:
        strict_json.encode(messages.error(bad.code, bad.message, bad.message_id))
        return False
    again = strict_json.encode(message.model_dump())
    assert repr(messages.parse(again)) == repr(message), frame
    held = json.loads(frame)
    assert all(repr(value) == repr(held[name]) for name, value in message.model_dump().items()), frame
    return True


def _message(random: Random) -> Any:
    if random.random() < 0.05:
        return _value(random, 0)
    chosen: dict[str, Any] = {"type": random.choice(TYPES), "id": f"m{random.randrange(1000)}", "step": "Q1"}
    chosen |= {"value": _value(random, 0), "audio": random.random() < 0.5}
    while random.random() < 0.3:
        chosen[random.choice(KEYS)] = _value(random, 0)
    while chosen and random.random() < 0.15:
        del chosen[random.choice(list(chosen))]
    return chosen


def _value(random: Random, depth: int) -> Any:
    kind = random.randrange(8 if depth < MOST_DEPTH else 6)
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


def _changed(random: Random, words: str) -> str:
    start = random.randrange(len(words) + 1)
    end = min(len(words), start + random.choice((0, 0, 1, 2, 9)))
    into = random.choice((random.choice(TOKENS), "", words[start:end] * 2, chr(random.randrange(0x300))))
    return words[:start] + into + words[end:]
