"""The limit of open files, which bounds a process's connections (setrlimit(2), RLIMIT_NOFILE)."""

import resource
from contextlib import suppress

FILES = 200  # descriptors for database connections, files and everything else that is no client's connection


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # the kernel has a lower one (macOS), or forbids it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def spare_descriptors(limit: int, max_connections: int, rest_threads: int) -> int:
    """Return the descriptors beside all WebSockets, a request in each thread, and files."""
    if limit == resource.RLIM_INFINITY:
        return 2**31
    return limit - max_connections - rest_threads - FILES


def descriptor_warning(limit: int, max_connections: int, rest_threads: int) -> str | None:
    """Return a warning if the limit is too low for the settings."""
    spare = spare_descriptors(limit, max_connections, rest_threads)
    if spare >= 0:
        return None
    return (
        f"At most {limit} files can be open, which is enough for {max(0, max_connections + spare)} of "
        f"STEPKEEP_MAX_CONNECTIONS={max_connections} WebSocket connections. Raise the limit to {limit - spare} or more "
        "(ulimit -n; LimitNOFILE in systemd), or lower STEPKEEP_MAX_CONNECTIONS."
    )
