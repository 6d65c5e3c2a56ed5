"""Measure the decision of one command in surveys of 10, 100 and 1,000 steps: medians of interleaved rounds.

Run ``python -m benchmarks.decide`` in the project's directory. Each step has a rule whose condition reads two answers.
Measured are decide and apply of the answer to the last step, and of an edit of the first answer from there.
"""

import statistics
import time

from app.core import strict_json
from app.survey.commands import Answer, Begin, Rejection
from app.survey.definition import Survey, parse_definition
from app.survey.flow import decide
from app.survey.state import SessionState, apply

ROUNDS = 7
REPEATS = 200
SIZES = (10, 100, 1000)


def make_survey(count: int) -> Survey:
    """Return a survey of ``count`` steps."""
    steps = [
        {
            "id": f"S{number}",
            "type": "scale",
            "prompt": "p",
            "min": 0,
            "max": 10,
            "next": [
                {
                    "when": f"answer > 5 && answers.S{max(number - 1, 0)} > 1",
                    "go": f"S{number + 1}" if number + 1 < count else "end",
                }
            ],
        }
        for number in range(count)
    ]
    document = {"id": "big", "title": "t", "language": "en", "steps": steps}
    return parse_definition(strict_json.encode(document), "big")


def walk_to_last_step(survey: Survey) -> SessionState:
    """Return the session at the last step, all others answered."""
    state = accept(survey, None, Begin(at=1))
    while state.current_step != survey.steps[-1].id:
        state = accept(survey, state, Answer(at=1, step=state.current_step, value=7))
    return state


def accept(survey: Survey, state: SessionState | None, command: Answer | Begin) -> SessionState:
    """Decide and apply a command, which must be accepted."""
    event = decide(survey, state, command)
    assert not isinstance(event, Rejection), event
    return apply(state, event)


def main() -> None:
    """Print the table."""
    sessions = {count: (survey := make_survey(count), walk_to_last_step(survey)) for count in SIZES}
    times: dict[tuple[int, str], list[float]] = {}
    for _ in range(ROUNDS):
        for count, (survey, state) in sessions.items():
            for name, step in (("last", survey.steps[-1].id), ("first", survey.steps[0].id)):
                command = Answer(at=1, step=step, value=8)
                started = time.perf_counter()
                for _ in range(REPEATS):
                    accept(survey, state, command)
                times.setdefault((count, name), []).append((time.perf_counter() - started) / REPEATS)
    print("| steps | answer to the last, µs | edit of the first, µs |\n| --: | --: | --: |")
    for count in SIZES:
        last, first = (statistics.median(times[count, name]) * 1e6 for name in ("last", "first"))
        print(f"| {count} | {last:.0f} | {first:.0f} |")


if __name__ == "__main__":
    main()
