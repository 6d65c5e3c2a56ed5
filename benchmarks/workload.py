"""A participant's walk through PHQ-9 as plain values, for contestants other than Stepkeep.

Does not import ``app``, since the peers have a separate environment. They store the same as Stepkeep for the same
answers: a state of about 250 bytes and one event.
"""

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

STEPS = tuple(f"Q{number}" for number in range(1, 11))

NOT_BEGUN = ""
END = "end"

SURVEY_ID = "phq9"

Walked = tuple[dict[str, Any], dict[str, Any]]
"""A state, and the event that led to it."""


def answer_to(step: str) -> int:
    """Return every participant's answer: 0, 1 or 2 depending on the step, so that Q10 follows Q9."""
    return int(step[1:]) % 3


def after(step: str) -> str:
    """Return the step after the turn at a step; after the end the first one."""
    if step in {NOT_BEGUN, END}:
        return STEPS[0]
    return END if step == STEPS[-1] else f"Q{int(step[1:]) + 1}"


def walk() -> list[Walked]:
    """Return the states after each of the ten answers, each with its event."""
    walked: list[Walked] = []
    for count, step in enumerate(STEPS, start=1):
        is_completed = count == len(STEPS)
        state = {
            "current_step": END if is_completed else STEPS[count],
            "answers": {name: answer_to(name) for name in STEPS[:count]},
            "step_history": list(STEPS[:count]),
            "is_audio_mode": False,
            "status": "completed" if is_completed else "in_progress",
            "version": count + 1,
        }
        walked.append((state, {"action": "answered", "step": step, "answer": answer_to(step)}))
    return walked


def endless() -> Iterator[Walked]:
    """Yield the walk repeatedly, each event with a new message id."""
    for state, event in itertools.cycle(walk()):
        yield state, {**event, "message_id": uuid.uuid4().hex}
