"""The checker: compares the clients' logs with the database, in O(n) of events and messages.

Eight rules, six of them modelled on Jepsen's checkers (set, append list, per-client FIFO, versions, reads).
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any, Literal

from app.survey.checks import parse_survey
from app.survey.commands import Rejection
from app.survey.definition import Survey
from app.survey.events import from_record
from app.survey.flow import decide
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState, apply
from app.web.ws.messages import parse_value, to_command
from tests.chaos.expected import expected_row, expected_session, matches
from tests.chaos.logs import ClientLog, Received, SentCommand, session_hashes
from tests.chaos.stored import Event, Stored
from tests.conftest import SURVEYS

Rule = Literal[
    "lost",
    "doubled",
    "acknowledged",
    "order",
    "replay",
    "versions",
    "reads",
    "rejected",
    "unknown",
    "answered",
    "recovery",
    "erased",
    "file",
]

NEVER = 2**62
"""Greater than any version."""

OVERLAP_S = 2.0
"""A state in transit may still include another client's command that was answered this long ago."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation of a rule."""

    rule: Rule
    session: SessionKey
    detail: str


Span = tuple[float, float]


def check(
    stored: Stored,
    logs: Sequence[ClientLog],
    *,
    erased: Mapping[SessionKey, float] = MappingProxyType({}),
    file_lost: Sequence[Span] = (),
) -> list[Finding]:
    """Return all violations in the database and the logs.

    Args:
        erased: when the erasure of a session was acknowledged.
        file_lost: the times when the database file had another name.
    """
    by_session: dict[SessionKey, list[ClientLog]] = defaultdict(list)
    for log in logs:
        by_session[log.key].append(log)
    keys = dict.fromkeys([*stored.rows, *stored.events, *by_session])
    findings = [finding for log in logs for finding in _check_file(log, file_lost)]
    for key in keys:
        if key in erased:
            findings += _check_erased(key, stored, by_session[key], erased[key])
            continue
        findings += _Session(key, stored.rows.get(key), stored.events.get(key, []), by_session[key]).findings()
        findings += [
            Finding("erased", key, f"{log.client} was refused, but not erased")
            for log in by_session[key]
            if log.is_refused
        ]
    return findings


def _check_erased(key: SessionKey, stored: Stored, logs: Sequence[ClientLog], erased_s: float) -> Iterator[Finding]:
    """Nothing names an erased participant, and no command of a client that continues is acknowledged."""
    if tables := stored.tables_by_user.get(key.user_id):
        yield Finding("erased", key, f"{', '.join(sorted(tables))} have the erased participant")
    for log in logs:
        for sent, answer in _acknowledged(log):
            if sent.at_s > erased_s:
                yield Finding("erased", key, f"{log.client}: {answer.id} was acknowledged after the erasure")


def _check_file(log: ClientLog, file_lost: Sequence[Span]) -> Iterator[Finding]:
    """While the file has another name, nothing is acknowledged."""
    for sent, answer in _acknowledged(log):
        if any(start_s < sent.at_s and answer.at_s < end_s for start_s, end_s in file_lost):
            yield Finding("file", log.key, f"{log.client}: {answer.id} was acknowledged while the file was lost")


def _acknowledged(log: ClientLog) -> Iterator[tuple[SentCommand, Received]]:
    for sent in log.sent:
        answer = log.answered.get(sent.id or "")
        if answer is not None and answer.type == "ack":
            yield sent, answer


@cache
def load_survey(survey_id: str) -> Survey:
    """Return a shipped survey."""
    file = SURVEYS / f"{survey_id}.yaml"
    return parse_survey(file.read_text(), str(file))


class _Session:
    """A session: its row, its events by version, the logs of its clients."""

    def __init__(
        self, key: SessionKey, row: Mapping[str, Any] | None, events: Sequence[Event], logs: Sequence[ClientLog]
    ) -> None:
        self._key = key
        self._row = row
        self._events = sorted(events, key=lambda event: event.version)
        self._logs = logs
        self._versions_by_id: dict[str, list[int]] = defaultdict(list)
        self._event_at: dict[int, Event] = {}
        for event in self._events:
            self._event_at[event.version] = event
            if event.message_id is not None:
                self._versions_by_id[event.message_id].append(event.version)
        self._state: SessionState | None = None
        self._states: dict[int, SessionState | None] = {0: None}
        self._hashes: dict[int, tuple[bytes, bytes]] = {}
        self._newest_version: dict[bytes, int] = {}
        self._spans = {log.client: _Spans(log) for log in logs}
        self._replay()

    def findings(self) -> Iterator[Finding]:
        yield from self._check_versions()
        yield from self._check_replay()
        yield from self._check_unknown()
        for log in self._logs:
            yield from self._check_acknowledged(log)
            yield from self._check_rejected(log)
            yield from self._check_order(log)
            yield from self._check_reads(log)
            yield from self._check_answered(log)

    def _replay(self) -> None:
        for event in self._events:
            self._state = apply(self._state, from_record(event.record))
            self._states[event.version] = self._state
            whole, without_draft = session_hashes(expected_session(self._key, self._state))
            self._hashes[event.version] = whole, without_draft
            self._newest_version[whole] = self._newest_version[without_draft] = event.version

    def _check_versions(self) -> Iterator[Finding]:
        """Versions are 1 to n, and the row has version n."""
        versions = [event.version for event in self._events]
        if versions != list(range(1, len(versions) + 1)):
            yield self._finding("versions", f"history has the versions {_describe_gaps(versions)}")
        last = versions[-1] if versions else 0
        if self._row is None:
            if versions:
                yield self._finding("versions", f"there is a history of {last} events, but no row")
        elif self._row["version"] != last:
            yield self._finding("versions", f"the row is at {self._row['version']}, history at {last}")

    def _check_replay(self) -> Iterator[Finding]:
        """Each column of the row equals the replayed history."""
        if self._row is None or self._state is None:
            return
        for name, value in expected_row(self._key, self._state).items():
            if self._row[name] != value:
                yield self._finding("replay", f"{name} is {self._row[name]!r}, the replayed history gives {value!r}")

    def _check_unknown(self) -> Iterator[Finding]:
        """Every event with a message id has a command of a client."""
        known = {sent.id for log in self._logs for sent in log.sent}
        for message_id in self._versions_by_id:
            if message_id not in known:
                yield self._finding("unknown", f"{message_id} is in history, but no client sent it")

    def _check_acknowledged(self, log: ClientLog) -> Iterator[Finding]:
        """Each acknowledged command is in history exactly once, at the acknowledged version, with its content."""
        commands = {sent.id: sent for sent in log.sent}
        for message in log.received:
            if message.type == "ack":
                yield from self._check_acknowledgement(log, message, commands)
        for command_id in commands:
            versions = self._versions_by_id.get(command_id or "", [])
            if len(versions) > 1:
                yield self._finding("doubled", f"{log.client}: {command_id} is in history at {versions}")

    def _check_acknowledgement(
        self, log: ClientLog, message: Received, commands: Mapping[str | None, SentCommand]
    ) -> Iterator[Finding]:
        versions = self._versions_by_id.get(message.id or "", [])
        prefix = f"{log.client}: {message.id} was acknowledged at {message.version}"
        if not versions:
            yield self._finding("lost", f"{prefix}, but is not in history")
        elif message.version not in versions:
            yield self._finding("acknowledged", f"{prefix}, but is in history at {versions}")
        elif (sent := commands.get(message.id)) is None:
            yield self._finding("acknowledged", f"{prefix}, but was never sent")
        elif not matches(self._event_at[versions[0]], sent):
            yield self._finding("acknowledged", f"{prefix}, but history has other content")

    def _check_rejected(self, log: ClientLog) -> Iterator[Finding]:
        """Neither rejected nor invalid commands are in history."""
        rejected = {message.id for message in log.received if message.type == "reject"}
        for sent in log.sent:
            if sent.id in self._versions_by_id and (sent.id in rejected or sent.is_invalid):
                reason = "was rejected" if sent.id in rejected else "is invalid"
                yield self._finding("rejected", f"{log.client}: {sent.id} {reason}, but is in history")

    def _check_order(self, log: ClientLog) -> Iterator[Finding]:
        """A client's commands are in history in the order in which it sent them.

        A command whose rejection was lost is the exception: it is resent, and may be accepted later, since
        rejections are not stored (docs/protocol.md).
        """
        stored = [(self._versions_by_id[sent.id][0], sent) for sent in log.sent if sent.id in self._versions_by_id]
        # For each command, the lowest version of all later ones.
        lowest = [*accumulate(reversed([version for version, _ in stored]), min, initial=NEVER)][-2::-1]
        last = 0
        for (version, sent), next_version in zip(stored, lowest, strict=True):
            if version < next_version:
                last = max(last, version)
            elif not self._was_rejected(sent, range(max(last, 1), next_version)):
                yield self._finding("order", f"{log.client}: {sent.id} is at {version}, a later one at {next_version}")

    def _was_rejected(self, sent: SentCommand, versions: range) -> bool:
        """Return whether the session would have rejected the command at one of these versions."""
        assert sent.id is not None
        command = to_command(parse_value({**sent.command, "id": sent.id}), 0)
        assert command is not None
        survey = load_survey(self._key.survey_id)
        return any(isinstance(decide(survey, self._states[version], command), Rejection) for version in versions)

    def _check_reads(self, log: ClientLog) -> Iterator[Finding]:
        """A client never sees an older version than before, and sees the replayed history at each version."""
        seen = 0
        for message in log.received:
            if message.type in {"state", "sync"} and message.version is not None:
                if message.version < seen:
                    yield self._finding("reads", f"{log.client}: {message.type} at {message.version} after {seen}")
                if message.type == "state" and seen > 0 and not message.resumed:
                    yield self._finding("reads", f"{log.client}: new session after version {seen}")
            if message.session_hash is not None and not self._is_consistent(
                message, seen, has_unanswered=self._has_unanswered(log, message.at_s)
            ):
                yield self._finding(
                    "reads", f"{log.client}: {message.type} at {message.version} differs from the replayed history"
                )
            if message.type in {"ack", "state", "sync"}:
                seen = max(seen, message.version or 0)

    def _is_consistent(self, message: Received, seen: int, *, has_unanswered: bool) -> bool:
        """Return whether the message may show its session.

        ``pending``, and ``state`` while the database is unavailable, show the predicted state.
        """
        assert message.session_hash is not None
        assert message.hash_without_draft is not None
        exact = self._hashes.get(message.version or 0)
        match message.type:
            case "ack":  # the current session, at the command's version or a later one
                return self._newest_version.get(message.session_hash, 0) >= max(seen, message.version or 0)
            case "sync":
                return exact is not None and exact[0] == message.session_hash
            case "state":
                if exact is not None and exact[1] == message.hash_without_draft:
                    return True
                return has_unanswered or self._newest_version.get(message.hash_without_draft, 0) > (
                    message.version or 0
                )
            case _:
                return True

    def _has_unanswered(self, log: ClientLog, at_s: float) -> bool:
        """Return whether a command of the session may have been pending at this time."""
        return self._spans[log.client].is_any_at(at_s) or any(
            spans.is_any_at(at_s - OVERLAP_S, at_s) for client, spans in self._spans.items() if client != log.client
        )

    def _check_answered(self, log: ClientLog) -> Iterator[Finding]:
        """Every command has a final answer after the run."""
        for sent in log.unanswered():
            is_stored = "is" if sent.id in self._versions_by_id else "is not"
            yield self._finding("answered", f"{log.client}: {sent.id} was never answered; it {is_stored} in history")

    def _finding(self, rule: Rule, detail: str) -> Finding:
        return Finding(rule, self._key, detail)


class _Spans:
    """The times when commands of a client were unanswered."""

    def __init__(self, log: ClientLog) -> None:
        self._sent = sorted(sent.at_s for sent in log.sent if sent.id is not None)
        self._answered = sorted(message.at_s for message in log.answered.values())

    def is_any_at(self, start_s: float, end_s: float | None = None) -> bool:
        """Return whether any command was unanswered at a time, or between two."""
        sent = bisect_right(self._sent, start_s if end_s is None else end_s)
        return sent > bisect_left(self._answered, start_s)


def _describe_gaps(versions: Sequence[int]) -> str:
    """Describe where versions are not consecutive."""
    gaps = [f"{version} after {before}" for before, version in pairwise([0, *versions]) if version != before + 1]
    return f"1 to {versions[-1]}, but {', '.join(gaps[:5])}"
