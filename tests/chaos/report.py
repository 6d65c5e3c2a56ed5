"""The report of a run: docs/reliability/chaos.md, written by the runner and never by hand."""

import datetime
import importlib.metadata
import importlib.util
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.chaos.browsers import chromium
from tests.chaos.result import Done, Result

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
PACKAGES = ("sqlalchemy", "psycopg", "pymysql", "gunicorn", "flask-sock", "simple-websocket", "websockets")
SHOWN = 50
"""Findings that the report lists."""

INTRODUCTION = """# Chaos: nothing lost, nothing twice

Made by `make chaos`; not to be edited. Participants with known answers walk through the shipped surveys, with the
Python client and the browser's, while the driver breaks everything between them and the disk. Two series of faults
run beside each other, so that faults of different layers overlap. Afterwards all faults end, all outboxes must become
empty, and a checker reads the database by plain SQL and compares it with the clients' logs
(`tests/chaos/checker.py`): every acknowledged command is in the history exactly once, at its version and with its
content; each client's commands are in order (except one whose rejection was lost: nothing of it was stored, it is
resent, and may be accepted where the session is by then); replaying the history gives the row; versions are 1 to n;
what clients were shown is a replay of the history and never goes back; what was rejected is absent. Commands without
an answer at the end would be counted as unanswered.
"""


def summary(result: Result) -> str:
    """Return a run in a line."""
    return (
        f"  {result.acknowledged:,} acknowledged turns, {len(result.faults)} faults, "
        f"lost {result.of_rule('lost')}, doubled {result.of_rule('doubled')}, findings {len(result.findings)}, "
        f"{result.ended_s - result.began_s:.0f} s"
    )


def write(results: Sequence[Result], left_out: Mapping[str, str], folder: Path) -> Path:
    """Write chaos.md, and chaos.png where there is matplotlib; return the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION, _machine(results), _totals(results), _left_out(results, left_out)]
    if importlib.util.find_spec("matplotlib") is not None:
        from tests.chaos import plot  # noqa: PLC0415 - matplotlib is of the extra `bench`

        plot.draw(results, folder / "chaos.png")
        parts.append("![Acknowledged turns per second, faults, and recovery times](chaos.png)\n")
    else:
        (folder / "chaos.png").unlink(missing_ok=True)
        parts.append("No plot: there is no matplotlib here (the extra `bench`).\n")
    parts += [_faults(result) for result in results]
    parts.append(_findings(results))
    path = folder / "chaos.md"
    path.write_text("\n".join(part for part in parts if part))
    return path


def _machine(results: Sequence[Result]) -> str:
    today = datetime.datetime.now(datetime.UTC).date()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    databases = ", ".join(f"{NAMES[one.order.database]} {one.facts.get('version', '?')}" for one in results)
    people = results[0].order.participants
    pages = results[0].order.browsers
    browser = f"{pages} pages in Chromium" if pages else "no Chromium here, so no pages"
    where = (
        f"Run on {today}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; {databases}; {versions}."
    )
    who = (
        f"{people} participants with the Python client at once (a quarter with outboxes on disk who leave and "
        f"return, a quarter as two devices of one session), and {browser}. To replay a database's faults:"
    )
    return "\n".join([where, who, "", *(f"    {result.order.command}" for result in results), ""])


def _totals(results: Sequence[Result]) -> str:
    lines: list[tuple[str, list[str]]] = [
        ("minutes", [f"{(one.ended_s - one.began_s) / 60:.1f}" for one in results]),
        ("faults", [f"{len(one.faults):,}" for one in results]),
        ("sessions", [f"{len({(log.user_id, log.survey_id) for log in one.logs}):,}" for one in results]),
        ("acknowledged turns", [f"{one.acknowledged:,}" for one in results]),
        ("**lost**", [f"**{one.of_rule('lost')}**" for one in results]),
        ("**doubled**", [f"**{one.of_rule('doubled')}**" for one in results]),
        ("other findings", [str(len(one.findings) - _lost_or_doubled(one)) for one in results]),
        ("unanswered at the end", [str(sum(len(log.unanswered()) for log in one.logs)) for one in results]),
        ("resent, answered as duplicates", [f"{one.count('ack', duplicate=True):,}" for one in results]),
        ("`pending`", [f"{one.count('pending'):,}" for one in results]),
        ("`reject`", [f"{one.count('reject'):,}" for one in results]),
        ("`sync`", [f"{one.count('sync'):,}" for one in results]),
        ("connections (`state`)", [f"{one.count('state'):,}" for one in results]),
        ("server restarts", [f"{one.restarts:,}" for one in results]),
        ("latency of an ack, p50 / p99, without faults", [_latency(one, during_faults=False) for one in results]),
        ("latency of an ack, p50 / p99, during faults", [_latency(one, during_faults=True) for one in results]),
    ]
    head = [NAMES[one.order.database] for one in results]
    return _table(["", *head], [[name, *values] for name, values in lines])


def _lost_or_doubled(result: Result) -> int:
    return result.of_rule("lost") + result.of_rule("doubled")


def _latency(result: Result, *, during_faults: bool) -> str:
    found = sorted(result.latencies_s(during_faults=during_faults))
    if not found:
        return "-"
    return f"{_quantile(found, 0.5) * 1000:,.0f} / {_quantile(found, 0.99) * 1000:,.0f} ms"


def _faults(result: Result) -> str:
    by_kind: dict[str, list[Done]] = {}
    for done in result.faults:
        by_kind.setdefault(done.fault.kind, []).append(done)
    rows = [[kind, str(len(many)), _lasted(many), *_recoveries(result, many)] for kind, many in sorted(by_kind.items())]
    head = ["Fault", "Count", "Duration, median", "First acknowledgement, s", "All acknowledged, s"]
    title = (
        f"## {NAMES[result.order.database]}: faults and recovery\n\nFrom the start of the fault; median / p90 / max. "
    )
    note = "Faults of the other series overlap.\n"
    return f"{title}{note}\n{_table(head, rows)}"


def _lasted(many: Sequence[Done]) -> str:
    return f"{statistics.median(max(0.0, done.ended_s - done.began_s) for done in many):.2f} s"


def _recoveries(result: Result, many: Iterable[Done]) -> tuple[str, str]:
    found = [recovery for done in many if (recovery := result.recovery_s(done)) is not None]
    if not found:
        return "-", "-"
    anybody, everybody = (sorted(values) for values in zip(*found, strict=True))
    return _spread(anybody), _spread(everybody)


def _spread(values: Sequence[float]) -> str:
    return f"{_quantile(values, 0.5):.2f} / {_quantile(values, 0.9):.2f} / {values[-1]:.2f}"


def _quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def _left_out(results: Sequence[Result], left_out: Mapping[str, str]) -> str:
    lines = [f"- {NAMES[kind]}: {reason}" for kind, reason in left_out.items()]
    lines += [
        f"- {NAMES[one.order.database]}: {kind} (not permitted here)" for one in results for kind in sorted(one.missing)
    ]
    if chromium() is None:
        lines.append("- the browser's client: no Chromium here")
    return "Left out:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _findings(results: Sequence[Result]) -> str:
    found = [(result, finding) for result in results for finding in result.findings]
    if not found:
        return ""
    lines = [
        f"- {result.order.database}, {finding.rule}: {finding.session.user_id}: {finding.detail.splitlines()[0]}"
        for result, finding in found[:SHOWN]
    ]
    return f"## Findings: {len(found)}\n\n" + "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
