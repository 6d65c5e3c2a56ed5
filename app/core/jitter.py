"""Random delays, so that clients and processes do not retry together."""

import random

JITTER = random.SystemRandom()
"""Not ``random``'s own generator: the seed of an application in which this runs stays its own. Forks differ."""
