"""The report of a run, docs/reliability/chaos.md, which is generated and never edited."""

import datetime
import importlib.metadata
import importlib.util
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.chaos.result import InjectedFault, Result
from tests.conftest import find_chromium

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
PACKAGES = ("sqlalchemy", "psycopg", "pymysql", "gunicorn", "flask-sock", "websockets")
MAX_LISTED = 50
"""Maximum number of findings in the report."""

INTRODUCTION = """# Chaos: nothing lost, nothing twice

Made by `make chaos`; not to be edited. Participants with known answers walk through the shipped surveys, with the
Python client and the browser's, while the driver breaks everything between them and the disk, and erases some of them.
Three series of faults run beside each other, so that faults of different layers overlap. Afterwards all faults end, all
outboxes must become empty, and a checker reads the database by plain SQL and compares it with the clients' logs
(`tests/chaos/checker.py`): every acknowledged command is in the history exactly once, at its version and with its
content; each client's commands are in order (except one whose rejection was lost: nothing of it was stored, it is
resent, and may be accepted where the session is by then); replaying the history gives the row; versions are 1 to n;
what clients were shown is a replay of the history and never goes back; what was rejected is absent. Of participants who
were erased no table has anything, nothing was acknowledged after the erasure, and their tokens are refused. While a
SQLite file was moved or replaced, `/readyz` said so and nothing was acknowledged. Commands without an answer at the
end, except of erased participants, would be counted as unanswered.
"""


def summary(result: Result) -> str:
    """Return a summary of a run in one line."""
    return (
        f"  {result.acknowledged:,} acknowledged turns, {len(result.faults)} faults, "
        f"lost {result.count_findings('lost')}, doubled {result.count_findings('doubled')}, findings {len(result.findings)}, "
        f"{result.ended_s - result.began_s:.0f} s"
    )


def write(results: Sequence[Result], skipped: Mapping[str, str], folder: Path) -> Path:
    """Write chaos.md, and chaos.png if matplotlib is installed; return the path of chaos.md."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION, _machine(results), _totals(results), _skipped(results, skipped)]
    if importlib.util.find_spec("matplotlib") is not None:
        from tests.chaos import plot  # noqa: PLC0415 - matplotlib is in the extra `bench`

        plot.draw(results, folder / "chaos.png")
        parts.append("![Acknowledged turns per second, faults, and recovery times](chaos.png)\n")
    else:
        (folder / "chaos.png").unlink(missing_ok=True)
        parts.append("No plot: matplotlib is not installed (extra `bench`).\n")
    parts += [_faults(result) for result in results]
    parts.append(_findings(results))
    path = folder / "chaos.md"
    path.write_text("\n".join(part for part in parts if part))
    return path


def _machine(results: Sequence[Result]) -> str:
    today = datetime.datetime.now(datetime.UTC).date()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    databases = ", ".join(f"{NAMES[result.config.database]} {result.facts.get('version', '?')}" for result in results)
    participants = results[0].config.participants
    pages = results[0].config.browsers
    browser = f"{pages} pages in Chromium" if pages else "no pages, since Chromium is not installed"
    environment = (
        f"Run on {today}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; {databases}; {versions}."
    )
    load = (
        f"{participants} participants with the Python client at once (a quarter with outboxes on disk who leave and "
        f"return, a quarter as two devices of one session, an eighth of the visits over REST), and {browser}. To replay a database's faults:"
    )
    return "\n".join([environment, load, "", *(f"    {result.config.command}" for result in results), ""])


def _totals(results: Sequence[Result]) -> str:
    lines: list[tuple[str, list[str]]] = [
        ("minutes", [f"{(result.ended_s - result.began_s) / 60:.1f}" for result in results]),
        ("faults", [f"{len(result.faults):,}" for result in results]),
        ("sessions", [f"{len({(log.user_id, log.survey_id) for log in result.logs}):,}" for result in results]),
        ("acknowledged turns", [f"{result.acknowledged:,}" for result in results]),
        ("**lost**", [f"**{result.count_findings('lost')}**" for result in results]),
        ("**doubled**", [f"**{result.count_findings('doubled')}**" for result in results]),
        ("other findings", [str(len(result.findings) - _lost_or_doubled(result)) for result in results]),
        ("unanswered at the end", [str(_unanswered(result)) for result in results]),
        ("resent, answered as duplicates", [f"{result.count('ack', duplicate=True):,}" for result in results]),
        ("`pending`", [f"{result.count('pending'):,}" for result in results]),
        ("`reject`", [f"{result.count('reject'):,}" for result in results]),
        ("`sync`", [f"{result.count('sync'):,}" for result in results]),
        ("connections (`state`)", [f"{result.count('state'):,}" for result in results]),
        ("erased participants", [f"{result.erased:,}" for result in results]),
        ("server restarts", [f"{result.restarts:,}" for result in results]),
        ("server reloads", [f"{result.reloads:,}" for result in results]),
        ("reloads refused, since a new server could not start", [f"{result.refused_reloads:,}" for result in results]),
        ("latency of an ack, p50 / p99, without faults", [_latency(result, during_faults=False) for result in results]),
        ("latency of an ack, p50 / p99, during faults", [_latency(result, during_faults=True) for result in results]),
    ]
    head = [NAMES[result.config.database] for result in results]
    return _table(["", *head], [[name, *values] for name, values in lines])


def _unanswered(result: Result) -> int:
    return sum(len(log.unanswered()) for log in result.logs if not log.is_refused)


def _lost_or_doubled(result: Result) -> int:
    return result.count_findings("lost") + result.count_findings("doubled")


def _latency(result: Result, *, during_faults: bool) -> str:
    latencies = sorted(result.latencies_s(during_faults=during_faults))
    if not latencies:
        return "-"
    return f"{_quantile(latencies, 0.5) * 1000:,.0f} / {_quantile(latencies, 0.99) * 1000:,.0f} ms"


def _faults(result: Result) -> str:
    by_kind: dict[str, list[InjectedFault]] = {}
    for injected in result.faults:
        by_kind.setdefault(injected.fault.kind, []).append(injected)
    rows = [
        [kind, str(len(faults)), _durations(faults), *_recoveries(result, faults)]
        for kind, faults in sorted(by_kind.items())
    ]
    head = ["Fault", "Count", "Duration, median", "First acknowledgement, s", "All acknowledged, s"]
    title = (
        f"## {NAMES[result.config.database]}: faults and recovery\n\nFrom the start of the fault; median / p90 / max. "
    )
    note = "Faults of the other series overlap.\n"
    return f"{title}{note}\n{_table(head, rows)}"


def _durations(faults: Sequence[InjectedFault]) -> str:
    return f"{statistics.median(max(0.0, injected.ended_s - injected.began_s) for injected in faults):.2f} s"


def _recoveries(result: Result, faults: Iterable[InjectedFault]) -> tuple[str, str]:
    recoveries = [recovery for injected in faults if (recovery := result.recovery_s(injected)) is not None]
    if not recoveries:
        return "-", "-"
    first, all_acknowledged = (sorted(values) for values in zip(*recoveries, strict=True))
    return _spread(first), _spread(all_acknowledged)


def _spread(values: Sequence[float]) -> str:
    return f"{_quantile(values, 0.5):.2f} / {_quantile(values, 0.9):.2f} / {values[-1]:.2f}"


def _quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def _skipped(results: Sequence[Result], skipped: Mapping[str, str]) -> str:
    lines = [f"- {NAMES[kind]}: {reason}" for kind, reason in skipped.items()]
    lines += [
        f"- {NAMES[result.config.database]}: {kind} (not permitted on this machine)"
        for result in results
        for kind in sorted(result.missing)
    ]
    if find_chromium() is None:
        lines.append("- the JavaScript client: Chromium is not installed")
    return "Skipped:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _findings(results: Sequence[Result]) -> str:
    findings = [(result, finding) for result in results for finding in result.findings]
    if not findings:
        return ""
    lines = [
        f"- {result.config.database}, {finding.rule}: {finding.session.user_id}: {finding.detail.splitlines()[0]}"
        for result, finding in findings[:MAX_LISTED]
    ]
    return f"## Findings: {len(findings)}\n\n" + "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
