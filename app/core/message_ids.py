"""Message ids that this program makes itself, for commands whose sender named none.

Pure but for the clock and chance; imported by the service, the Python API and the client.
"""

import os
import time

_RANDOM_BYTES = 10


def new_message_id() -> str:
    """Return a UUIDv7 (RFC 9562, 5.7) as 32 hexadecimal digits: unique, and in the order of time.

    Ids that begin with the time go to the end of the index that keeps them unique; random ones would each
    change a page of their own.
    """
    milliseconds = time.time_ns() // 1_000_000
    chance = int.from_bytes(os.urandom(_RANDOM_BYTES), "big")
    high, low = chance >> 68, chance & ((1 << 62) - 1)
    value = (milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low
    return f"{value:032x}"
