"""The checker: what the clients were told against what the database holds. O(n) in events and messages.

Six rules, after Jepsen's checkers (set, append list, per-client FIFO, versions, reads); an empty list of findings
means that all hold.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, Literal

from app.survey.definition import Survey, parse_survey
from app.survey.events import from_record
from app.survey.flow import Rejection, decide
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState, apply
from app.web.ws.messages import command_of, parse_value
from tests.chaos.expected import holds, row_of, shown_session
from tests.chaos.logs import ClientLog, Given, Received, hashes_of
from tests.chaos.stored import Event, Stored
from tests.conftest import SURVEYS

Rule = Literal[
    "lost",
    "doubled",
    "acknowledged",
    "order",
    "fold",
    "versions",
    "reads",
    "rejected",
    "unknown",
    "answered",
    "recovery",
]

NEVER = 2**62
"""A version later than all."""

MEANWHILE_S = 2.0
"""Seconds for which another client's answered command may still be under way in a state that was on its way."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be."""

    rule: Rule
    session: SessionKey
    detail: str


def check(stored: Stored, logs: Sequence[ClientLog]) -> list[Finding]:
    """Return everything in which the database and the logs break a rule."""
    by_session: dict[SessionKey, list[ClientLog]] = defaultdict(list)
    for log in logs:
        by_session[SessionKey(log.survey_id, log.user_id)].append(log)
    keys = dict.fromkeys([*stored.rows, *stored.events, *by_session])
    return [
        finding
        for key in keys
        for finding in _Session(key, stored.rows.get(key), stored.events.get(key, []), by_session[key]).findings()
    ]


@cache
def survey_of(survey_id: str) -> Survey:
    """Return a shipped survey."""
    file = SURVEYS / f"{survey_id}.yaml"
    return parse_survey(file.read_text(), str(file))


class _Session:
    """One session: its row, its events in the order of their versions, the logs of its clients."""

    def __init__(
        self, key: SessionKey, row: Mapping[str, Any] | None, events: Sequence[Event], logs: Sequence[ClientLog]
    ) -> None:
        self._key = key
        self._row = row
        self._events = sorted(events, key=lambda event: event.version)
        self._logs = logs
        self._versions_of: dict[str, list[int]] = defaultdict(list)
        self._event_of: dict[int, Event] = {}
        for event in self._events:
            self._event_of[event.version] = event
            if event.message_id is not None:
                self._versions_of[event.message_id].append(event.version)
        self._state: SessionState | None = None
        self._states: dict[int, SessionState | None] = {0: None}
        self._shown: dict[int, tuple[bytes, bytes]] = {}
        self._newest_as: dict[bytes, int] = {}
        self._spans = {log.client: _Spans(log) for log in logs}
        self._fold()

    def findings(self) -> Iterator[Finding]:
        yield from self._check_versions()
        yield from self._check_fold()
        yield from self._check_unknown()
        for log in self._logs:
            yield from self._check_acknowledged(log)
            yield from self._check_rejected(log)
            yield from self._check_order(log)
            yield from self._check_reads(log)
            yield from self._check_answered(log)

    def _fold(self) -> None:
        for event in self._events:
            self._state = apply(self._state, from_record(event.record))
            self._states[event.version] = self._state
            shown, without_draft = hashes_of(shown_session(self._key, self._state))
            self._shown[event.version] = shown, without_draft
            self._newest_as[shown] = self._newest_as[without_draft] = event.version

    def _check_versions(self) -> Iterator[Finding]:
        """Versions are 1 to n, none missing or double, and the row has the last one."""
        found = [event.version for event in self._events]
        if found != list(range(1, len(found) + 1)):
            yield self._finding("versions", f"history has the versions {_short(found)}")
        last = found[-1] if found else 0
        if self._row is None:
            if found:
                yield self._finding("versions", f"history of {last} events, and no row")
        elif self._row["version"] != last:
            yield self._finding("versions", f"the row is at {self._row['version']}, history at {last}")

    def _check_fold(self) -> Iterator[Finding]:
        """The fold of history is the row, column by column."""
        if self._row is None or self._state is None:
            return
        for name, value in row_of(self._key, self._state).items():
            if self._row[name] != value:
                yield self._finding("fold", f"{name} is {self._row[name]!r}, the fold says {value!r}")

    def _check_unknown(self) -> Iterator[Finding]:
        """Nothing is in history that nobody gave."""
        known = {given.id for log in self._logs for given in log.given}
        for message_id in self._versions_of:
            if message_id not in known:
                yield self._finding("unknown", f"{message_id} is in history, and no client gave it")

    def _check_acknowledged(self, log: ClientLog) -> Iterator[Finding]:
        """Each acknowledged command is in history once, at the acknowledged version, with its content."""
        commands = {given.id: given for given in log.given}
        for message in log.received:
            if message.type == "ack":
                yield from self._check_acknowledgement(log, message, commands)
        for command_id in commands:
            versions = self._versions_of.get(command_id or "", [])
            if len(versions) > 1:
                yield self._finding("doubled", f"{log.client}: {command_id} is in history at {versions}")

    def _check_acknowledgement(
        self, log: ClientLog, message: Received, commands: Mapping[str | None, Given]
    ) -> Iterator[Finding]:
        versions = self._versions_of.get(message.id or "", [])
        what = f"{log.client}: {message.id} was acknowledged at {message.version}"
        if not versions:
            yield self._finding("lost", f"{what}, and is not in history")
        elif message.version not in versions:
            yield self._finding("acknowledged", f"{what}, and is in history at {versions}")
        elif (given := commands.get(message.id)) is None:
            yield self._finding("acknowledged", f"{what}, and was never given")
        elif not holds(self._event_of[versions[0]], given):
            yield self._finding("acknowledged", f"{what}, and history has another content")

    def _check_rejected(self, log: ClientLog) -> Iterator[Finding]:
        """What was rejected, and what could only be refused, is not in history."""
        rejected = {message.id for message in log.received if message.type == "reject"}
        for given in log.given:
            if given.id in self._versions_of and (given.id in rejected or given.is_wrong):
                why = "was rejected" if given.id in rejected else "is wrong"
                yield self._finding("rejected", f"{log.client}: {given.id} {why}, and is in history")

    def _check_order(self, log: ClientLog) -> Iterator[Finding]:
        """A client's commands are in history in the order in which it gave them.

        But for one whose rejection was lost: it was refused in its place, is sent again, and may be accepted where
        the session is now (docs/protocol.md: of a reject nothing is saved).
        """
        kept = [(self._versions_of[given.id][0], given) for given in log.given if given.id in self._versions_of]
        # Of each the lowest version that follows it; the last one is followed by none.
        lowest = [*accumulate(reversed([version for version, _ in kept]), min, initial=NEVER)][-2::-1]
        last = 0
        for (version, given), next_version in zip(kept, lowest, strict=True):
            if version < next_version:
                last = max(last, version)
            elif not self._was_refused(given, range(max(last, 1), next_version)):
                yield self._finding("order", f"{log.client}: {given.id} is at {version}, a later one at {next_version}")

    def _was_refused(self, given: Given, versions: range) -> bool:
        """Return whether the session refused the command at one of these versions."""
        assert given.id is not None
        command = command_of(parse_value({**given.command, "id": given.id}), 0)
        assert command is not None
        survey = survey_of(self._key.survey_id)
        return any(isinstance(decide(survey, self._states[version], command), Rejection) for version in versions)

    def _check_reads(self, log: ClientLog) -> Iterator[Finding]:
        """What a client is shown never goes back behind what it was told before, and is the fold at its version."""
        seen = 0
        for message in log.received:
            if message.type in {"state", "sync"} and message.version is not None:
                if message.version < seen:
                    yield self._finding("reads", f"{log.client}: {message.type} at {message.version} after {seen}")
                if message.type == "state" and seen > 0 and not message.resumed:
                    yield self._finding("reads", f"{log.client}: a new session after version {seen}")
            if message.shown is not None and not self._is_true(
                message, seen, any_open=self._is_any_open(log, message.at_s)
            ):
                yield self._finding(
                    "reads", f"{log.client}: {message.type} at {message.version} shows what is no fold of history"
                )
            if message.type in {"ack", "state", "sync"}:
                seen = max(seen, message.version or 0)

    def _is_true(self, message: Received, seen: int, *, any_open: bool) -> bool:
        """Return whether the shown session is one that the message may show.

        ``pending``, and a ``state`` while the database is away, show what will be if all that waits holds.
        """
        assert message.shown is not None
        assert message.shown_without_draft is not None
        exact = self._shown.get(message.version or 0)
        match message.type:
            case "ack":  # the session as it is now: at the command's version, or a later one
                return self._newest_as.get(message.shown, 0) >= max(seen, message.version or 0)
            case "sync":
                return exact is not None and exact[0] == message.shown
            case "state":
                if exact is not None and exact[1] == message.shown_without_draft:
                    return True
                return any_open or self._newest_as.get(message.shown_without_draft, 0) > (message.version or 0)
            case _:
                return True

    def _is_any_open(self, log: ClientLog, at_s: float) -> bool:
        """Return whether a command of the session may have been waiting for the database then."""
        return self._spans[log.client].is_any_at(at_s) or any(
            spans.is_any_at(at_s - MEANWHILE_S, at_s) for client, spans in self._spans.items() if client != log.client
        )

    def _check_answered(self, log: ClientLog) -> Iterator[Finding]:
        """After the run nothing is without a final answer."""
        for given in log.unanswered():
            is_there = "is" if given.id in self._versions_of else "is not"
            yield self._finding("answered", f"{log.client}: {given.id} was never answered; it {is_there} in history")

    def _finding(self, rule: Rule, detail: str) -> Finding:
        return Finding(rule, self._key, detail)


class _Spans:
    """When a client's commands were open: given, and not yet answered."""

    def __init__(self, log: ClientLog) -> None:
        self._begun = sorted(given.at_s for given in log.given if given.id is not None)
        self._ended = sorted(message.at_s for message in log.answered.values())

    def is_any_at(self, start_s: float, end_s: float | None = None) -> bool:
        """Return whether any was open at a time, or between two."""
        begun = bisect_right(self._begun, start_s if end_s is None else end_s)
        return begun > bisect_left(self._ended, start_s)


def _short(numbers: Sequence[int]) -> str:
    """Return where a row of versions is not 1, 2, 3 ..."""
    wrong = [f"{found} after {before}" for before, found in pairwise([0, *numbers]) if found != before + 1]
    return f"1 to {numbers[-1]}, but {', '.join(wrong[:5])}"
