"""The simple Python API: keep sessions from a script, without any server.

::

    from database import get_database

    db = get_database()
    db.save_session(user_id="user123", current_step="S1", answers={}, step_history=[])

Steps here need not belong to any survey file. Each write is committed when it returns True.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .core.message_ids import new_message_id
from .core.timestamps import format_timestamp
from .errors import NoSuchSession
from .sessions.service import SessionStore, open_store
from .settings import read_settings
from .store import HistoryEntry
from .survey import Note, Save, Snapshot, Update

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Database:
    """Sessions of the default survey, by participant. Safe from any thread."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store

    def save_session(
        self,
        user_id: str,
        current_step: str,
        answers: Mapping[str, Any],
        step_history: Sequence[str],
        is_audio_mode: bool = False,  # noqa: FBT001, FBT002 - as above
        session_data: Mapping[str, Any] | None = None,
    ) -> bool:
        """Make this the session's whole state; the session is made where there is none.

        Args:
            answers: by step; any JSON.
            step_history: the steps before the current one, oldest first.
            session_data: anything of your own, a JSON object.

        Returns:
            True: it is committed.

        Raises:
            InvalidInput: something given is not valid; nothing was written.
            Unavailable: it could not be saved now; saving again is safe.
        """
        key = self.store.queries.key(user_id)
        path = tuple(step_history) if isinstance(step_history, list | tuple) else step_history
        command = Save(
            at=self.store.clock(),
            message_id=new_message_id(),
            current_step=current_step,
            answers=answers,
            step_history=path,  # type: ignore[arg-type]  # checked by the service, which names what is wrong
            is_audio_mode=is_audio_mode,
            session_data=session_data,
        )
        self.store.turns.submit_or_raise(key, command)
        return True

    def load_session(self, user_id: str) -> dict[str, Any] | None:
        """Return the session, None where there is none.

        Returns:
            ``current_step``, ``answers``, ``step_history`` (a list), ``is_audio_mode`` (a bool) and
            ``session_data``; beside them ``user_id``, ``survey_id``, ``survey_revision``, ``status``,
            ``draft``, ``version``, ``created_at`` and ``updated_at`` (UTC).
        """
        snapshot = self.store.queries.load(self.store.queries.key(user_id))
        return None if snapshot is None else self._shown(snapshot)

    def update_session_state(
        self,
        user_id: str,
        current_step: str | None = None,
        answers: Mapping[str, Any] | None = None,
        step_history: Sequence[str] | None = None,
        is_audio_mode: bool | None = None,  # noqa: FBT001 - as above
        session_data: Mapping[str, Any] | None = None,
    ) -> bool:
        """Change what is given of the session's state; what is None stays.

        Returns:
            True: it is committed. False: there is no such session.

        Raises:
            InvalidInput, Unavailable: as :meth:`save_session`.
        """
        given = {
            "current_step": current_step,
            "answers": answers,
            "step_history": tuple(step_history) if isinstance(step_history, list) else step_history,
            "is_audio_mode": is_audio_mode,
            "session_data": session_data,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        command = Update(at=self.store.clock(), message_id=new_message_id(), changes=changes)
        return self._submit(user_id, command)

    def add_history_entry(
        self,
        user_id: str,
        action: str,
        step: str | None = None,
        answer: Any = None,  # noqa: ANN401 - any JSON
    ) -> bool:
        """Put an entry of your own into the session's history; it changes no state.

        Returns:
            True: it is committed. False: there is no such session.
        """
        command = Note(at=self.store.clock(), message_id=new_message_id(), action=action, step=step, answer=answer)
        return self._submit(user_id, command)

    def get_session_history(self, user_id: str, limit: int = 100) -> list[dict[str, Any]]:
        """Return what happened, newest first: ``action``, ``step``, ``answer``, ``timestamp`` (UTC)."""
        entries = self.store.queries.history(self.store.queries.key(user_id), limit=limit, newest_first=True)
        return [_shown_entry(entry) for entry in entries]

    def list_sessions(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return sessions of all surveys, in the order of their participants."""
        return [self._shown(snapshot) for snapshot in self.store.queries.list(limit=limit)[0]]

    def delete_session(self, user_id: str) -> bool:
        """Erase the session and its history; return whether there was one."""
        return self.store.erasure.delete(self.store.queries.key(user_id))

    def close(self) -> None:
        """Give the database's connections back."""
        self.store.close()

    def _submit(self, user_id: str, command: Update | Note) -> bool:
        try:
            self.store.turns.submit_or_raise(self.store.queries.key(user_id), command)
        except NoSuchSession:
            return False
        return True

    def _shown(self, snapshot: Snapshot) -> dict[str, Any]:
        return {
            **snapshot.to_dict(self.store.clock()),
            "version": snapshot.state.version,
            "created_at": format_timestamp(snapshot.state.started_at),
            "updated_at": format_timestamp(snapshot.state.updated_at),
        }


_instance: Database | None = None
_guard = threading.Lock()


def get_database() -> Database:
    """Return this process's database, opened at the first call as the environment says.

    Safe from any thread, and after a fork: a child opens its own.

    Raises:
        ConfigurationError: the environment, a survey file or the database can't be used.
    """
    global _instance  # noqa: PLW0603 - one instance a process is what it promises
    with _guard:
        if _instance is None:
            _instance = Database(open_store(read_settings()))
        return _instance


def _forget_after_fork() -> None:
    # A lock that another thread of the parent held would stay so; the store begins anew by itself.
    global _instance, _guard  # noqa: PLW0603 - as above
    _guard = threading.Lock()
    _instance = None


os.register_at_fork(after_in_child=_forget_after_fork)


def _shown_entry(entry: HistoryEntry) -> dict[str, Any]:
    record = entry.record
    return {
        # An entry of one's own has the action that was given, not the event's name.
        "action": record.data.get("action", record.action) if record.action == "noted" else record.action,
        "step": record.step,
        "answer": record.answer,
        "timestamp": format_timestamp(record.at),
        "version": entry.version,
    }
