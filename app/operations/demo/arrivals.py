"""When the participants of demo data come: by day and hour, as people do. Pure; deterministic by its seed.

Each hour of the time has a weight: a week with quiet weekends, a day with a peak before noon and one in the evening,
growth from the first day to the last (to thrice as many), a campaign that brings a peak and fades, and a little
weather of the day. The hours share the sessions by their weights; within an hour they come at random.
"""

import datetime
import math
import random
from collections.abc import Iterator
from itertools import accumulate

HOUR_US = 3600 * 1_000_000

_WEEKDAY = (1.15, 1.2, 1.1, 1.05, 0.9, 0.55, 0.65)
"""From Monday on."""

_HOUR = (
    0.25, 0.15, 0.1, 0.08, 0.1, 0.2, 0.45, 0.8, 1.15, 1.4, 1.5, 1.3,
    1.1, 1.1, 1.15, 1.1, 1.05, 1.1, 1.25, 1.5, 1.6, 1.35, 0.9, 0.5,
)  # fmt: skip
"""From midnight UTC on."""

_GROWTH = 2.0
_CAMPAIGN_AT = 0.62
"""Where in the whole time the campaign begins."""
_CAMPAIGN = 2.2
_CAMPAIGN_FADES_DAYS = 1.6
_WEATHER = 0.12


def arrivals(count: int, days: int, until: int, seed: int) -> Iterator[int]:
    """Yield when each of ``count`` participants comes, the earliest first, microseconds since 1970 UTC.

    Args:
        days: how long before ``until`` the first ones come.
        until: the end, which nobody reaches; microseconds since 1970 UTC.
    """
    chance = random.Random(f"arrivals-{seed}")  # noqa: S311 - demo data, to be made again from its seed
    weights = _weights(days, until, chance)
    total = sum(weights)
    start, passed = until - days * 24 * HOUR_US, 0
    for hour, reached in enumerate(accumulate(weights)):
        upto = round(count * reached / total)
        yield from sorted(start + hour * HOUR_US + chance.randrange(HOUR_US) for _ in range(upto - passed))
        passed = upto


def _weights(days: int, until: int, chance: random.Random) -> list[float]:
    """How many come in each hour, relative to the others."""
    start = until - days * 24 * HOUR_US
    weather = [math.exp(chance.gauss(0, _WEATHER)) for _ in range(days + 1)]
    return [
        _weight(start + hour * HOUR_US, hour / (days * 24), days) * weather[hour // 24] for hour in range(days * 24)
    ]


def _weight(at: int, passed: float, days: int) -> float:
    moment = datetime.datetime.fromtimestamp(at / 1_000_000, datetime.UTC)
    since_campaign_days = (passed - _CAMPAIGN_AT) * days
    campaign = _CAMPAIGN * math.exp(-since_campaign_days / _CAMPAIGN_FADES_DAYS) if since_campaign_days >= 0 else 0.0
    return _WEEKDAY[moment.weekday()] * _HOUR[moment.hour] * (1 + _GROWTH * passed + campaign)
