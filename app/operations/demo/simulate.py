"""Simulate participants. Pure and deterministic for a seed."""

import datetime
import math
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from ...core.timestamps import to_datetime
from ...survey import (
    Answer,
    AnyCommand,
    AnyEvent,
    Back,
    Begin,
    Draft,
    Expire,
    Goto,
    Parameter,
    Rejection,
    Restart,
    SessionState,
    SetMode,
    Survey,
    answer_fields,
    apply,
    decide,
    resolve_at,
    route_scope,
)
from ...survey.types import BaseStep, PageStep, SampleRequest, Step

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US

MAX_COMMANDS = 400  # a survey can have cycles
_WORDS_A_S = 3.8
_CHARACTERS_A_S = 4.5
_LEAVES = 0.006
_LEAVES_AT_FIRST = 0.05
_LEAVES_AT_TEXT = 0.022
_LEAVES_AT_SENSITIVE = 0.02
_LEAVES_PER_WORD = 0.0006
_LEAVES_A_DRAFT = 0.5
_RETURNS = 0.4  # share of those who leave
_PAUSES = 0.008
_PAUSE_MEDIAN_S = 2.5 * 3600
_GOES_BACK = 0.025
_EDITS = 0.012
_GOES_TO = 0.006
_CHANGES_MIND = 0.4
_SWITCHES = 0.012
_SWITCHES_AT_RETURN = 0.2
_BY_VOICE = 0.18
_BEGINS_AGAIN = 0.01
_CONFIRMS = 0.6  # share of those who say that an unusual answer is right; the others answer again
_ATTEMPTS = 20  # at an answer that the survey accepts
_IN_ANOTHER_LANGUAGE = 0.25  # share of participants, in surveys with more than one
_DRAFTED_EVERY_S = 15
_EXPIRED_BEFORE_US = 48 * HOUR_US  # sessions expired later stay open, as before maintenance
SENSITIVE = ("hurting yourself", "suicid", "dead", "weigh", "sex", "income", "drug", "alcohol", "religio", "violen")
"""Words of English prompts."""

_SHARED = 0.8  # share of an answer that the burden determines
_OPTIONAL_SKIPPED = 0.3

_WEEKDAY = (1.15, 1.2, 1.1, 1.05, 0.9, 0.55, 0.65)  # from Monday

_HOUR = (
    0.25, 0.15, 0.1, 0.08, 0.1, 0.2, 0.45, 0.8, 1.15, 1.4, 1.5, 1.3,
    1.1, 1.1, 1.15, 1.1, 1.05, 1.1, 1.25, 1.5, 1.6, 1.35, 0.9, 0.5,
)  # fmt: skip
"""From midnight UTC."""

_GROWTH = 2.0
_CAMPAIGN_AT = 0.62  # as a fraction of the period
_CAMPAIGN = 2.2
_CAMPAIGN_FADES_DAYS = 1.6
_NOISE = 0.12


class Left(Exception):
    """The participant has dropped out, or the period has ended."""


def arrivals(count: int, days: int, until: int, seed: int) -> Iterator[int]:
    chance = random.Random(f"arrivals-{seed}")  # noqa: S311 - reproducible from the seed
    weights = _weights(days, until, chance)
    total = sum(weights)
    start, passed = until - days * 24 * HOUR_US, 0
    for hour, reached in enumerate(accumulate(weights)):
        upto = round(count * reached / total)
        yield from sorted(start + hour * HOUR_US + chance.randrange(HOUR_US) for _ in range(upto - passed))
        passed = upto


def simulate(survey: Survey, at: int, until: int, chance: random.Random) -> tuple[AnyCommand, ...]:
    participant = _Participant(survey=survey, at=at, until=until, chance=chance)
    try:
        participant.run()
    except Left:
        participant.expire()
    return tuple(participant.commands)


@dataclass(slots=True, kw_only=True)
class _Participant:
    survey: Survey
    at: int
    until: int
    chance: random.Random
    state: SessionState | None = None
    commands: list[AnyCommand] = field(default_factory=list)
    burden: float = 0.0
    slowness: float = 1.0
    impatience: float = 1.0

    def run(self) -> None:
        chance = self.chance
        self.burden, self.slowness = chance.gauss(0, 1), chance.lognormvariate(0, 0.35)
        self.impatience = chance.lognormvariate(-0.1, 0.6)
        state = self.send(
            Begin(
                at=self.at,
                is_audio_mode=chance.random() < _BY_VOICE,
                languages=self.languages(),
                parameters={name: self.parameter(one) for name, one in self.survey.parameters.items()},
            ),
        )
        while state.status == "in_progress":
            step = self.survey.steps_by_id[state.current_step]
            self.read(step, state)
            state = self.stray(state) if chance.random() < _GOES_BACK + _EDITS + _GOES_TO else self.answer(step, state)
            if state.status == "completed" and chance.random() < _BEGINS_AGAIN:
                self.wait_s(chance.lognormvariate(11, 1))
                state = self.send(Restart(at=self.at, message_id=self.message_id()))

    def languages(self) -> tuple[str, ...]:
        if not self.survey.has_languages:
            return ()
        own, *others = sorted(self.survey.offered_languages, key=lambda tag: tag != self.survey.language)
        return (self.chance.choice(others) if self.chance.random() < _IN_ANOTHER_LANGUAGE else own,)

    def parameter(self, parameter: Parameter) -> object:
        is_missing = not parameter.is_required and self.chance.random() < _OPTIONAL_SKIPPED
        if is_missing:
            return parameter.default
        return _sample(parameter.step, self.burden, to_datetime(self.at).date(), self.chance)

    def decide(self, command: AnyCommand) -> AnyEvent | Rejection:
        if self.at >= self.until or len(self.commands) >= MAX_COMMANDS:
            raise Left
        return decide(self.survey, self.state, command)

    def send(self, command: AnyCommand) -> SessionState:
        event = self.decide(command)
        if isinstance(event, Rejection):
            raise Left  # the session expired during a pause
        return self.save(command, event)

    def save(self, command: AnyCommand, event: AnyEvent) -> SessionState:
        self.commands.append(command)
        self.state = apply(self.state, event)
        return self.state

    def message_id(self) -> str:
        # Begins with the time, so that the unique index grows at its end.
        return f"{self.at:016x}-demo-{len(self.commands)}"

    def wait_s(self, seconds: float) -> None:
        self.at += max(int(seconds * SECOND_US), 1)

    def read(self, step: Step, state: SessionState) -> None:
        words = sum(one.prompt.count(" ") + 1 for one in (step, *step.parts()))
        fields_s = sum(one.answering_s for one in step.parts()) if isinstance(step, PageStep) else 0.0
        answering_s = (step.answering_s + fields_s) * self.chance.lognormvariate(0, 0.5)
        by_voice = 1.7 if state.is_audio_mode else 1.0
        self.wait_s((words / _WORDS_A_S * by_voice + answering_s) * self.slowness)
        leaves = self.chance.random()
        if leaves < self.hazard(step, words, is_first=not state.step_history):
            self.leave(step, is_back=self.chance.random() < _RETURNS)
        elif leaves > 1 - _PAUSES:
            self.leave(step, is_back=True)
        elif self.chance.random() < _SWITCHES:
            self.switch(state)

    def hazard(self, step: Step, words: int, *, is_first: bool) -> float:
        hazard = _LEAVES + _LEAVES_PER_WORD * words
        hazard += _LEAVES_AT_FIRST * is_first + _LEAVES_AT_SENSITIVE * _is_sensitive(step)
        hazard += _LEAVES_AT_TEXT * (step.is_typed and step.required)
        return min(hazard * self.impatience, 0.5)

    def leave(self, step: Step, *, is_back: bool) -> None:
        if step.is_typed and self.chance.random() < _LEAVES_A_DRAFT:
            self.draft(step, "I was about to")
        if not is_back:
            raise Left
        self.wait_s(self.chance.lognormvariate(0, 2.0) * _PAUSE_MEDIAN_S)
        if self.state is not None and self.chance.random() < _SWITCHES_AT_RETURN:
            self.switch(self.state)

    def switch(self, state: SessionState) -> None:
        self.send(SetMode(at=self.at, message_id=self.message_id(), is_audio_mode=not state.is_audio_mode))

    def draft(self, step: Step, text: str) -> None:
        event = Draft(at=self.at, step=step.id, value=text)
        if self.state is not None and self.state.drafts.get(step.id) != text:
            self.send(event)

    def answer(self, step: Step, state: SessionState) -> SessionState:
        for _ in range(_ATTEMPTS):
            command = self.answer_to(step, state)
            event = self.decide(command)
            if isinstance(event, Rejection) and event.code == "confirm" and self.chance.random() < _CONFIRMS:
                command = replace(command, confirmed=True)
                event = self.decide(command)
            if not isinstance(event, Rejection):
                return self.save(command, event)
        raise Left

    def answer_to(self, step: Step, state: SessionState) -> Answer:
        value = self.value(step, state)
        if isinstance(value, str) and step.is_typed:
            self.type(step, value)
        elif isinstance(value, list):
            self.wait_s(1.3 * len(value) * self.slowness)
        return Answer(at=self.at, message_id=self.message_id(), step=step.id, value=value)

    def value(self, step: Step, state: SessionState) -> Any:  # noqa: ANN401 - any answer
        if step.id in state.answers and self.chance.random() > _CHANGES_MIND:
            return state.answers[step.id]
        resolved = resolve_at(self.survey, step, route_scope(self.survey, state), self.at).step
        today = to_datetime(self.at).date()
        if isinstance(step, PageStep):
            fields = {one.id: one for one in resolved.parts()}
            return answer_fields(
                self.survey, step, state, lambda asked: _sample(fields[asked.id], self.burden, today, self.chance)
            )
        return _sample(resolved, self.burden, today, self.chance)

    def type(self, step: Step, text: str) -> None:
        typing_s = len(text) / _CHARACTERS_A_S * self.slowness * self.chance.lognormvariate(0, 0.3)
        if typing_s > _DRAFTED_EVERY_S:
            self.wait_s(_DRAFTED_EVERY_S)
            self.draft(step, text[: max(1, int(len(text) * _DRAFTED_EVERY_S / typing_s))])
            typing_s -= _DRAFTED_EVERY_S
        self.wait_s(typing_s)

    def stray(self, state: SessionState) -> SessionState:
        if not state.step_history:
            return state
        kinds = self.chance.random() * (_GOES_BACK + _EDITS + _GOES_TO)
        if kinds < _GOES_BACK:
            return self.send(Back(at=self.at, message_id=self.message_id()))
        earlier = self.survey.steps_by_id[self.chance.choice(state.step_history)]
        if kinds < _GOES_BACK + _GOES_TO:
            return self.send(Goto(at=self.at, message_id=self.message_id(), step=earlier.id))
        return self.answer(earlier, state)

    def expire(self) -> None:
        state, after_us = self.state, self.survey.expires_after_us
        if state is None or after_us is None or state.status != "in_progress":
            return
        self.at = state.updated_at + after_us + self.chance.randrange(HOUR_US)
        if self.at < self.until - _EXPIRED_BEFORE_US and len(self.commands) < MAX_COMMANDS:
            self.send(Expire(at=self.at))


def _is_sensitive(step: BaseStep) -> bool:
    prompt = step.prompt.lower()
    return any(word in prompt for word in SENSITIVE)


def _sample(step: BaseStep, burden: float, today: datetime.date, chance: random.Random) -> Any:  # noqa: ANN401 - any answer
    if not step.takes_answer or (not step.required and chance.random() < _OPTIONAL_SKIPPED):
        return None
    request = SampleRequest(random=chance, level=_level(step, burden, chance), lean=_lean(step), today=today)
    value = step.sample(request)
    if value is not None and step.accepts(value):
        return value
    if not step.required:
        return None
    raise Left


def _level(step: BaseStep, burden: float, chance: random.Random) -> float:
    hesitation = 1.1 if _is_sensitive(step) else 0.0
    combined = _SHARED * burden + math.sqrt(1 - _SHARED**2) * chance.gauss(0, 1)
    return min(max(0.3 + 0.24 * (combined - hesitation + 0.6 * (_lean(step) - 0.5)), 0.0), 1.0)


def _lean(step: BaseStep) -> float:
    """Return 0 to 1, depending only on the step."""
    return (zlib.crc32(f"{step.id} {step.prompt}".encode()) % 1000) / 1000


def _weights(days: int, until: int, chance: random.Random) -> list[float]:
    start = until - days * 24 * HOUR_US
    noise = [math.exp(chance.gauss(0, _NOISE)) for _ in range(days + 1)]
    return [_weight(start + hour * HOUR_US, hour / (days * 24), days) * noise[hour // 24] for hour in range(days * 24)]


def _weight(at: int, passed: float, days: int) -> float:
    time = to_datetime(at)
    since_campaign_days = (passed - _CAMPAIGN_AT) * days
    campaign = _CAMPAIGN * math.exp(-since_campaign_days / _CAMPAIGN_FADES_DAYS) if since_campaign_days >= 0 else 0.0
    return _WEEKDAY[time.weekday()] * _HOUR[time.hour] * (1 + _GROWTH * passed + campaign)
