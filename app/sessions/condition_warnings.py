"""Warnings of a survey's conditions that can't be evaluated: one for each step of a session. Safe from any thread."""

import logging
import threading
from collections.abc import Sequence

from ..survey.snapshot import SessionKey

log = logging.getLogger("stepkeep.service")

TOLD_LIMIT = 10_000
"""Steps of sessions that are remembered as told; then all are forgotten, and may be told once more."""


class ConditionLog:
    """What was told already."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._told: set[tuple[SessionKey, str]] = set()

    def warn(self, key: SessionKey, version: int, steps: Sequence[str]) -> None:
        """Tell that conditions of these steps could not be evaluated, of each step once."""
        for step in steps:
            if self._is_new(key, step):
                log.warning(
                    "a condition of the step %s can't be evaluated on the answers it met; its rule does not hold",
                    step,
                    extra={"survey_id": key.survey_id, "user_id": key.user_id, "version": version},
                )

    def _is_new(self, key: SessionKey, step: str) -> bool:
        with self._mutex:
            if (key, step) in self._told:
                return False
            if len(self._told) >= TOLD_LIMIT:
                self._told.clear()
            self._told.add((key, step))
            return True
