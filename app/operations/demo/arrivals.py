"""The times at which simulated participants arrive. Pure; deterministic for a seed."""

import datetime
import math
import random
from collections.abc import Iterator
from itertools import accumulate

HOUR_US = 3600 * 1_000_000

_WEEKDAY = (1.15, 1.2, 1.1, 1.05, 0.9, 0.55, 0.65)
"""From Monday."""

_HOUR = (
    0.25, 0.15, 0.1, 0.08, 0.1, 0.2, 0.45, 0.8, 1.15, 1.4, 1.5, 1.3,
    1.1, 1.1, 1.15, 1.1, 1.05, 1.1, 1.25, 1.5, 1.6, 1.35, 0.9, 0.5,
)  # fmt: skip
"""From midnight UTC."""

_GROWTH = 2.0
_CAMPAIGN_AT = 0.62
"""As a fraction of the period."""
_CAMPAIGN = 2.2
_CAMPAIGN_FADES_DAYS = 1.6
_NOISE = 0.12


def arrivals(count: int, days: int, until: int, seed: int) -> Iterator[int]:
    """Yield ``count`` times in order, within ``days`` before ``until`` (us since 1970 UTC)."""
    chance = random.Random(f"arrivals-{seed}")  # noqa: S311 - reproducible from the seed
    weights = _weights(days, until, chance)
    total = sum(weights)
    start, passed = until - days * 24 * HOUR_US, 0
    for hour, reached in enumerate(accumulate(weights)):
        upto = round(count * reached / total)
        yield from sorted(start + hour * HOUR_US + chance.randrange(HOUR_US) for _ in range(upto - passed))
        passed = upto


def _weights(days: int, until: int, chance: random.Random) -> list[float]:
    start = until - days * 24 * HOUR_US
    noise = [math.exp(chance.gauss(0, _NOISE)) for _ in range(days + 1)]
    return [_weight(start + hour * HOUR_US, hour / (days * 24), days) * noise[hour // 24] for hour in range(days * 24)]


def _weight(at: int, passed: float, days: int) -> float:
    time = datetime.datetime.fromtimestamp(at / 1_000_000, datetime.UTC)
    since_campaign_days = (passed - _CAMPAIGN_AT) * days
    campaign = _CAMPAIGN * math.exp(-since_campaign_days / _CAMPAIGN_FADES_DAYS) if since_campaign_days >= 0 else 0.0
    return _WEEKDAY[time.weekday()] * _HOUR[time.hour] * (1 + _GROWTH * passed + campaign)
