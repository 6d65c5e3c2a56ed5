"""The machine, the file system and the versions, for the report."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

from app.store.drivers import sqlite
from benchmarks import databases
from benchmarks.contest import PEERS

FLUSHES = 300
PAGE_BYTES = 4096

PACKAGES = ("sqlalchemy", "psycopg", "pymysql", "orjson", "gevent", "greenlet")

PEER_PACKAGES = (
    "google-adk",
    "openai-agents",
    "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres",
    "flask-session",
    "cachelib",
    "sqlalchemy",
    "aiosqlite",
    "asyncpg",
    "psycopg",
)


def facts(folder: Path) -> dict[str, str]:
    """Return the facts; ``folder`` is that of the SQLite files."""
    result = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "file system of the SQLite files": _file_system(folder),
        "a flush there, before the run": f"{_flush_us(folder):,.0f} µs (median of {FLUSHES}: 4 KiB, fdatasync)",
        "Python": platform.python_version(),
        "SQLite (Stepkeep and the raw driver)": sqlite.driver().sqlite_version,
        "SQLite (peers: of the standard library)": _peers("import sqlite3; print(sqlite3.sqlite_version)"),
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        "peers' packages": _peers(
            "from importlib.metadata import version as v; "
            f"print(', '.join(name + ' ' + v(name) for name in {PEER_PACKAGES!r}))"
        ),
    }
    for kind in databases.SERVERS:
        if databases.unavailable_reason(kind) is None:
            result[f"{kind} server"] = databases.server_version(kind)
    return result


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _file_system(folder: Path) -> str:
    """Return the type and options of the folder's mount."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return "unknown"
    best = ("", "unknown")
    for line in mounts.read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if folder.absolute().is_relative_to(point) and len(point) > len(best[0]):
            best = (point, f"{kind} ({options})")
    return best[1]


def _flush_us(folder: Path) -> float:
    """Return the cost of a flush; the higher, the more a group commit gains over a transaction per turn."""
    path = folder / "flush"
    times = []
    with path.open("wb", buffering=0) as file:
        file.write(bytes(PAGE_BYTES * FLUSHES))
        os.fsync(file.fileno())
        for page in range(FLUSHES):
            started = time.perf_counter()
            os.pwrite(file.fileno(), bytes([1]) * PAGE_BYTES, page * PAGE_BYTES)
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(times) * 1e6


def _peers(program: str) -> str:
    if not PEERS.exists():
        return ".venv-peers does not exist"
    done = subprocess.run([str(PEERS), "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our command
    return done.stdout.strip()
