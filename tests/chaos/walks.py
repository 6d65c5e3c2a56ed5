"""A participant's walk through a shipped survey: the next command depends on the seed and the session.

Every text is unique to its participant, and invalid commands are invalid in any state.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SURVEYS = ("phq9", "intake")

EXPIRES_AFTER_S = {"phq9": 14 * 86_400, "intake": 30 * 86_400}
"""As in the survey files; clock jumps are much smaller."""

CHOICES = ("A new problem", "A check-up", "A follow-up")
REMEDIES = ("Rest", "Painkillers", "Physiotherapy", "Something else")
WITHOUT_ANSWER = frozenset({"S1", "S12"})

NO_STEP = "S99"
"""A step of no survey."""

WEIGHTS = {"answer": 78, "draft": 6, "edit": 4, "back": 4, "goto": 2, "mode": 3, "invalid": 3}


@dataclass(frozen=True, slots=True)
class PlannedCommand:
    """A command of docs/protocol.md without its id, and whether it is rejected in any state."""

    command: Mapping[str, Any]
    is_invalid: bool = False

    @property
    def type(self) -> str:
        return str(self.command["type"])


class Walk:
    """The commands of a participant in one session."""

    def __init__(self, seed: str, survey_id: str) -> None:
        self._random = random.Random(seed)
        self._survey_id = survey_id
        self._suffix = seed
        self._number = 0

    def next(self, session: Mapping[str, Any]) -> PlannedCommand:
        """Return the next command, given the session that the participant sees."""
        if session["status"] != "in_progress":
            return PlannedCommand({"type": "restart"})
        step, passed = session["current_step"], session["step_history"]
        match self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]:
            case "edit" if passed:
                edited = self._random.choice(passed)
                return PlannedCommand({"type": "answer", "step": edited, "value": self._value(edited)})
            case "back" if passed:
                return PlannedCommand({"type": "back"})
            case "goto" if passed:
                return PlannedCommand({"type": "goto", "step": self._random.choice(passed)})
            case "mode":
                return PlannedCommand({"type": "mode", "audio": self._random.random() < 0.5})
            case "draft":
                return PlannedCommand({"type": "draft", "step": step, "value": self._text("half a word")})
            case "invalid":
                invalid_step = NO_STEP if step in WITHOUT_ANSWER or self._random.random() < 0.3 else step
                return PlannedCommand(
                    {"type": "answer", "step": invalid_step, "value": {"no": "answer"}}, is_invalid=True
                )
            case _:
                return PlannedCommand({"type": "answer", "step": step, "value": self._value(step)})

    def _value(self, step: str) -> Any:  # noqa: C901 - one case a step
        rng = self._random
        if self._survey_id == "phq9":
            return rng.randrange(4)
        match step:
            case "S1" | "S12":
                return None
            case "S2":
                return f"{rng.randrange(1930, 2005)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 28):02d}"
            case "S3":
                return rng.choice(CHOICES)
            case "S4" | "S11":
                return self._text("My knee")
            case "S5":
                return rng.randrange(11)
            case "S6":
                return [remedy for remedy in REMEDIES if rng.random() < 0.6] or [REMEDIES[0]]
            case "S8":
                return rng.randrange(80, 800) / 2 if rng.random() < 0.8 else None
            case "S10":
                return rng.randrange(1, 60)
            case _:
                return rng.random() < 0.5

    def _text(self, about: str) -> str:
        self._number += 1
        return f"{about} {self._suffix} {self._number}"
