"""An instant in a survey's time zone."""

import datetime
import zoneinfo
from contextlib import suppress

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def local_time(at: int, timezone: str | None) -> str:
    """Return ``now`` of expressions, YYYY-MM-DDTHH:MM; the date is ``today``.

    Args:
        at: microseconds since 1970 UTC.
        timezone: such as Europe/Berlin; None for UTC, as one that this machine does not know.
    """
    instant = _EPOCH + datetime.timedelta(microseconds=at)
    if timezone is not None:
        with suppress(ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            instant = instant.astimezone(zoneinfo.ZoneInfo(timezone))
    return instant.replace(tzinfo=None).isoformat(timespec="minutes")
