"""Random surveys, and random commands of their participants."""

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from app.core import strict_json
from app.sessions.service import SessionStore
from app.survey import commands
from app.survey.definition import Survey, parse_definition
from app.survey.snapshot import SessionKey

MINUTE_US = 60 * 1_000_000
DAY_US = 24 * 60 * MINUTE_US
STARTED_AT = 1_760_000_000 * 1_000_000
NOW = STARTED_AT + 400 * DAY_US

NUMBERS = itertools.count()

GAPS = st.one_of(
    st.integers(0, 20 * 1_000_000),
    st.integers(0, 90 * MINUTE_US),
    st.sampled_from([0, 30 * MINUTE_US, 30 * MINUTE_US + 1, 3 * DAY_US, -5 * 1_000_000]),
)
TYPES: dict[str, dict[str, Any]] = {
    "choice": {"options": ["a", "b", {"value": 3, "other": True}]},
    "choices": {"options": ["a", "b", {"value": "c", "other": True}]},
    "text": {"max_length": 20},
    "number": {},
    "scale": {"min": 0, "max": 4, "max_label": "most"},
    "date": {},
    "time": {},
    "datetime": {},
    "month": {},
    "email": {},
    "phone": {},
    "ranking": {"options": ["a", 2, "c"]},
    "boolean": {},
    "info": {},
}
VALUES: dict[str, Any] = {
    "choice": st.sampled_from(["a", "b", 3, {"value": 3, "text": "x"}]),
    "choices": st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True),
    "text": st.text("xyz", min_size=1, max_size=20),
    "number": st.one_of(st.integers(-3, 30), st.sampled_from([0.5, 2.25])),
    "scale": st.integers(0, 4),
    "date": st.dates().map(lambda day: day.isoformat()),
    "time": st.times().map(lambda time: time.isoformat()[:5]),
    "datetime": st.datetimes().map(lambda time: time.isoformat()[:16]),
    "month": st.dates().map(lambda day: day.isoformat()[:7]),
    "email": st.just("ann@example.org"),
    "phone": st.just("+12025550100"),
    "ranking": st.permutations(["a", 2, "c"]),
    "boolean": st.booleans(),
    "info": st.none(),
}
SAVED = st.sampled_from([None, True, 1, "secret words", ["a", "zz"], {"x": 1}, "1999-01-01", "07:30", 2.5])


def survey_with(
    survey_id: str, types: Sequence[str], branches: Sequence[tuple[int, int]] = (), *, first: int = 0
) -> Survey:
    """Return a survey with these step types; a branch leads from a step to a later one for some answers."""
    ids = [f"S{first + number}" for number in range(len(types))]
    steps = []
    for number, kind in enumerate(types):
        step = {"id": ids[number], "type": kind, "prompt": f"{kind}?", "required": kind != "text", **TYPES[kind]}
        to = next((target for source, target in branches if source == number and target < len(types)), None)
        if to is not None and to > number + 1:
            step["next"] = [{"when": f'answers.{ids[0]} == "a" || answers.{ids[0]} == 3', "go": ids[to]}]
        steps.append(step)
    document = {"id": survey_id, "title": "t", "language": "en", "expires_after": "300d", "steps": steps}
    return parse_definition(strict_json.encode(document), survey_id)


@st.composite
def surveys(draw: st.DrawFn, survey_id: str, *, first: int = 0) -> Survey:
    """Generate surveys of one to eight steps of any type, with branches."""
    types = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=8))
    branches = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(2, 7)), max_size=2))
    return survey_with(survey_id, types, branches, first=first)


def next_command(data: st.DataObject, survey: Survey, at: int, current: str) -> commands.AnyCommand:
    """Draw a command, mostly one that moves forward."""
    ids = [step.id for step in survey.steps]
    kinds = ["answer"] * 8 + ["edit", "edit", "back", "goto", "draft", "mode", "restart", "save", "note", "update"]
    kind = data.draw(st.sampled_from(kinds))
    step = data.draw(st.sampled_from(ids)) if kind in {"edit", "goto"} else current
    if kind in {"answer", "edit"}:
        planned = survey.step(step)
        value = data.draw(VALUES[planned.type]) if planned is not None else None
        return commands.Answer(at=at, step=step, value=value)
    plain: dict[str, commands.AnyCommand] = {
        "back": commands.Back(at=at),
        "goto": commands.Goto(at=at, step=step),
        "draft": commands.Draft(at=at, step=step, value=data.draw(st.text("ab", max_size=3))),
        "mode": commands.SetMode(at=at, is_audio_mode=data.draw(st.booleans())),
        "restart": commands.Restart(at=at),
        "note": commands.Note(at=at, action="looked at", step="S0", answer=None),
        "update": commands.Update(at=at, changes={"session_data": {"k": 1}}),
    }
    if kind in plain:
        return plain[kind]
    chosen = data.draw(st.lists(st.sampled_from([*ids, "odd"]), unique=True, max_size=4))
    return commands.Save(
        at=at,
        current_step=data.draw(st.sampled_from([*ids, "end", "odd step"])),
        answers={step: data.draw(SAVED) for step in chosen},
        step_history=tuple(chosen),
        is_audio_mode=data.draw(st.booleans()),
        session_data=None,
    )


def walk(data: st.DataObject, store: SessionStore, key: SessionKey) -> None:
    """Submit random commands of one participant."""
    at = STARTED_AT + data.draw(st.integers(0, 40)) * DAY_US // 3
    store.turns.submit(key, commands.Begin(at=at, is_audio_mode=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(0, 12))):
        at += data.draw(GAPS)
        snapshot = store.queries.load(key)
        assert snapshot is not None
        assert snapshot.survey is not None
        store.turns.submit(key, next_command(data, snapshot.survey, at, snapshot.state.current_step))
