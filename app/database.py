"""The Python API for scripts, without a server (docs/python.md).

Without ``survey_id``, sessions belong to STEPKEEP_DEFAULT_SURVEY, else to ``default``. A survey needs no file.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from .catalogue import UNNAMED_SURVEY
from .core.session_dicts import HistoryDict, SessionDict
from .core.strict_json import MAX_INTEGER
from .core.timestamps import format_timestamp
from .errors import ConfigurationError, InvalidInput, NoSuchSession
from .sessions import SessionStore, open_store
from .settings import read_settings
from .store import HistoryEntry
from .survey import Given, Note, Save, SessionKey, Snapshot, Update


class Requests:
    """Makes keys and commands of the API's arguments."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._survey_id = store.settings.default_survey or UNNAMED_SURVEY

    def key(self, user_id: str, survey_id: str | None) -> SessionKey:
        return self._store.queries.key(user_id, self._survey_id if survey_id is None else survey_id)

    def save(self, *state: object) -> Save:
        return Save(at=self._store.clock(), **_fields(*state))

    def update(self, *state: object) -> Update:
        changes = {name: value for name, value in _fields(*state).items() if value is not None}
        return Update(at=self._store.clock(), changes=changes)

    def note(self, action: str, step: str | None, answer: object) -> Note:
        return Note(at=self._store.clock(), action=action, step=step, answer=answer)


class Database:
    """Sessions by participant and survey. Thread-safe."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.requests = Requests(store)

    def save_session(  # noqa: PLR0913 - one argument for each part of the state
        self,
        user_id: str,
        current_step: str,
        answers: Mapping[str, Any],
        step_history: Sequence[str],
        is_audio_mode: bool = False,  # noqa: FBT001, FBT002 - as above
        session_data: Mapping[str, Any] | None = None,
        *,
        survey_id: str | None = None,
    ) -> bool:
        """Replace the session's whole state, or create it; return True once it is committed.

        Args:
            answers: any JSON, by step.
            step_history: oldest first, without the current step.

        Raises, as all functions:
            InvalidInput: nothing was written.
            Unavailable: not now; repeating it is safe.
        """
        key = self.requests.key(user_id, survey_id)
        command = self.requests.save(current_step, answers, step_history, is_audio_mode, session_data)
        self.store.turns.submit_or_raise(key, command)
        return True

    def begin_session(
        self,
        user_id: str,
        *,
        survey_id: str | None = None,
        is_audio_mode: bool = False,
        language: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> SessionDict:
        """Return the session, begun at the survey's first step if there is none.

        Args:
            language: of a new session, such as de-AT; None for the survey's own.
            parameters: of a new session, wherever they come from otherwise.

        Raises:
            NoSuchSurvey: there is neither a session nor the survey.
            InvalidInput: a parameter is wrong or missing.
        """
        snapshot, _ = self.store.turns.get_or_create(
            self.requests.key(user_id, survey_id),
            is_audio_mode=is_audio_mode,
            languages=() if language is None else (language,),
            parameters=Given(api=parameters or {}),
        )
        return self._to_dict(snapshot)

    def load_session(self, user_id: str, *, survey_id: str | None = None) -> SessionDict | None:
        """Return the session; None if there is none."""
        snapshot = self.store.queries.load(self.requests.key(user_id, survey_id))
        return None if snapshot is None else self._to_dict(snapshot)

    def update_session_state(  # noqa: PLR0913 - as above
        self,
        user_id: str,
        current_step: str | None = None,
        answers: Mapping[str, Any] | None = None,
        step_history: Sequence[str] | None = None,
        is_audio_mode: bool | None = None,  # noqa: FBT001 - as above
        session_data: Mapping[str, Any] | None = None,
        *,
        survey_id: str | None = None,
    ) -> bool:
        """Change the fields that are not None, ``{}`` clears ``session_data``; return whether there is a session."""
        command = self.requests.update(current_step, answers, step_history, is_audio_mode, session_data)
        return self._submit(self.requests.key(user_id, survey_id), command)

    def add_history_entry(
        self,
        user_id: str,
        action: str,
        step: str | None = None,
        answer: Any = None,  # noqa: ANN401 - any JSON
        *,
        survey_id: str | None = None,
    ) -> bool:
        """Add an entry to the history only; return whether there is a session."""
        command = self.requests.note(action, step, answer)
        return self._submit(self.requests.key(user_id, survey_id), command)

    def get_session_history(self, user_id: str, limit: int = 100, *, survey_id: str | None = None) -> list[HistoryDict]:
        """Return the newest entries, newest first."""
        key = self.requests.key(user_id, survey_id)
        entries = self.store.queries.history(key, limit=_limit(limit), newest_first=True)
        return [_entry_dict(entry) for entry in entries]

    def list_sessions(self, limit: int = 100, *, survey_id: str | None = None) -> list[SessionDict]:
        """Return sessions of one survey, or of all, ordered by participant."""
        queries, filters = self.store.queries, {}
        if survey_id is not None:
            filters["survey_id"] = queries.survey_id(survey_id)
        found: list[SessionDict] = []
        after = None
        while True:
            page, after = queries.list(after=after, limit=_limit(limit) - len(found), filters=filters)
            found += map(self._to_dict, page)
            if after is None or len(found) == limit:
                return found

    def delete_session(self, user_id: str, *, survey_id: str | None = None) -> bool:
        """Erase the session; return whether there was one."""
        return self.store.erasure.delete(self.requests.key(user_id, survey_id))

    def close(self) -> None:
        """Commit what was submitted, and close; :func:`get_database` then opens the database again."""
        global _instance  # noqa: PLW0603 - one instance per process
        with _guard:
            if _instance is self:
                _instance = None
        self.store.close()

    def _submit(self, key: SessionKey, command: Update | Note) -> bool:
        try:
            self.store.turns.submit_or_raise(key, command)
        except NoSuchSession:
            return False
        return True

    def _to_dict(self, snapshot: Snapshot) -> SessionDict:
        return snapshot.to_full_dict(self.store.clock())


_instance: Database | None = None
_guard = threading.Lock()


def get_database() -> Database:
    """Return this process's database, opened at the first call, or raise ConfigurationError. Thread- and fork-safe."""
    global _instance  # noqa: PLW0603 - one instance per process
    with _guard:
        if _instance is None:
            try:
                _instance = Database(open_store(read_settings()))
            except ConfigurationError as error:
                raise error.with_traceback(None) from None  # its message says what the driver's errors say
        return _instance


def opened_database() -> Database | None:
    """Return this process's database if it is open."""
    return _instance


def _reset_after_fork() -> None:
    # The child would inherit a lock that another thread holds. The store resets itself.
    global _instance, _guard  # noqa: PLW0603 - as above
    _guard = threading.Lock()
    _instance = None


os.register_at_fork(after_in_child=_reset_after_fork)


def _limit(limit: object) -> int:
    if type(limit) is not int or not 1 <= limit <= MAX_INTEGER:
        raise InvalidInput(f"The limit must be a whole number of at least 1, not {repr(limit)[:200]}.")
    return limit


def _fields(
    current_step: object, answers: object, step_history: object, is_audio_mode: object, session_data: object
) -> dict[str, Any]:
    return {
        "current_step": current_step,
        "answers": answers,
        "is_audio_mode": is_audio_mode,
        "session_data": session_data,
        "step_history": tuple(step_history) if isinstance(step_history, list | tuple) else step_history,
    }


def _entry_dict(entry: HistoryEntry) -> HistoryDict:
    record = entry.record
    return {
        # add_history_entry's action is the caller's, not the event's name.
        "action": record.data.get("action", record.action) if record.action == "noted" else record.action,
        "step": record.step,
        "answer": record.answer,
        "timestamp": format_timestamp(record.at),
        "version": entry.version,
    }
