"""The only authority whose certificates the tests trust, since they connect to no public host.

Loading those of the machine takes 25 ms for each client of httpx, and for each of the tests' connections to MariaDB.
"""

import os
from collections.abc import Mapping
from pathlib import Path

AUTHORITY = str(Path(__file__).with_name("authority.pem"))
"""A certificate whose key was never stored. OpenSSL refuses a file without any."""


def trust_one_authority() -> None:
    """Let this process and its children load one authority, unless SSL_CERT_FILE is set."""
    os.environ.setdefault("SSL_CERT_FILE", AUTHORITY)


def public_environment() -> Mapping[str, str]:
    """Return the environment of a child that connects to public hosts."""
    return {name: value for name, value in os.environ.items() if value != AUTHORITY}
