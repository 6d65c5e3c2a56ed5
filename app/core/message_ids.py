"""Message ids for commands without one."""

import os
import time

_RANDOM_BYTES = 10


def new_message_id() -> str:
    """Return a UUIDv7 (RFC 9562, 5.7) as 32 hex digits: the unique index grows at its end."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(_RANDOM_BYTES), "big")
    high, low = random >> 68, random & ((1 << 62) - 1)
    value = (milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low
    return f"{value:032x}"
