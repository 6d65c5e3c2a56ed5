"""How a participant walks through a shipped survey: what he wants next is a function of his seed and the session.

Known answers: every text is the participant's own, and what is wrong is wrong whatever the session is.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SURVEYS = ("phq9", "intake")

EXPIRES_AFTER_S = {"phq9": 14 * 86_400, "intake": 30 * 86_400}
"""As the survey files say; clock jumps stay far below."""

CHOICES = ("A new problem", "A check-up", "A follow-up")
REMEDIES = ("Rest", "Painkillers", "Physiotherapy", "Something else")
WITHOUT_ANSWER = frozenset({"S1", "S12"})

NO_STEP = "S99"
"""A step that no survey has."""

WANTS = {"answer": 78, "draft": 6, "edit": 4, "back": 4, "goto": 2, "mode": 3, "wrong": 3}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a participant wants: a command of docs/protocol.md without its id, and whether it can only be refused."""

    command: Mapping[str, Any]
    is_wrong: bool = False

    @property
    def type(self) -> str:
        return str(self.command["type"])


class Walk:
    """A participant's wishes in one session."""

    def __init__(self, seed: str, survey_id: str) -> None:
        self._random = random.Random(seed)
        self._survey_id = survey_id
        self._words = seed
        self._number = 0

    def next(self, session: Mapping[str, Any]) -> Wish:
        """Return what the participant wants, who sees the session so."""
        if session["status"] != "in_progress":
            return Wish({"type": "restart"})
        step, passed = session["current_step"], session["step_history"]
        match self._random.choices(list(WANTS), list(WANTS.values()))[0]:
            case "edit" if passed:
                edited = self._random.choice(passed)
                return Wish({"type": "answer", "step": edited, "value": self._value(edited)})
            case "back" if passed:
                return Wish({"type": "back"})
            case "goto" if passed:
                return Wish({"type": "goto", "step": self._random.choice(passed)})
            case "mode":
                return Wish({"type": "mode", "audio": self._random.random() < 0.5})
            case "draft":
                return Wish({"type": "draft", "step": step, "value": self._text("half a word")})
            case "wrong":
                wrong = NO_STEP if step in WITHOUT_ANSWER or self._random.random() < 0.3 else step
                return Wish({"type": "answer", "step": wrong, "value": {"no": "answer"}}, is_wrong=True)
            case _:
                return Wish({"type": "answer", "step": step, "value": self._value(step)})

    def _value(self, step: str) -> Any:  # noqa: C901 - one case a step
        choose = self._random
        if self._survey_id == "phq9":
            return choose.randrange(4)
        match step:
            case "S1" | "S12":
                return None
            case "S2":
                return f"{choose.randrange(1930, 2005)}-{choose.randrange(1, 13):02d}-{choose.randrange(1, 28):02d}"
            case "S3":
                return choose.choice(CHOICES)
            case "S4" | "S11":
                return self._text("My knee")
            case "S5":
                return choose.randrange(11)
            case "S6":
                return [remedy for remedy in REMEDIES if choose.random() < 0.6] or [REMEDIES[0]]
            case "S8":
                return choose.randrange(80, 800) / 2 if choose.random() < 0.8 else None
            case "S10":
                return choose.randrange(1, 60)
            case _:
                return choose.random() < 0.5

    def _text(self, about: str) -> str:
        self._number += 1
        return f"{about} {self._words} {self._number}"
