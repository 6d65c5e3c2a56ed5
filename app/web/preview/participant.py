"""The participant of a preview: their session, and jumps to a step."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from ...core import strict_json
from ...sessions import SessionStore
from ...survey import (
    Answer,
    Begin,
    Given,
    Goto,
    Rejection,
    Restart,
    SessionKey,
    SessionState,
    SetLanguage,
    Snapshot,
    Survey,
    accept_parameters,
    answer_fields,
    apply,
    decide,
    parse_parameters,
    sample_answers,
)
from ...survey.types import PageStep, Step

ANSWERS_TRIED = 12  # of a step, on the way to another one
VISITS = 10  # of a step by different ways, on which later conditions may depend


class PreviewParticipant:
    """Each change of the file or of the parameters begins a new session, with the answers that still fit."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._texts: Mapping[str, str] = {}
        self.number = 1

    def key(self, survey: Survey) -> SessionKey:
        return self._store.queries.key(f"preview-{self.number}", survey.id)

    def load(self, survey: Survey) -> Snapshot:
        """Return the session, begun if there is none.

        Raises:
            InvalidInput: a required parameter is missing, and no sample of it is known.
        """
        given = Given(api=self._parameters(survey))
        snapshot, _ = self._store.turns.get_or_create(self.key(survey), is_audio_mode=False, parameters=given)
        return snapshot

    def begin_with(self, survey: Survey, texts: Mapping[str, str], before: SessionState | None) -> None:
        """Begin another session with these parameters; as :meth:`begin_again`.

        Raises:
            InvalidInput: one is wrong or missing.
        """
        accept_parameters(survey.parameters, Given(api=_parsed(survey, texts)))
        self._texts = texts
        self.begin_again(survey, before)

    def _parameters(self, survey: Survey) -> dict[str, Any]:
        """Return the author's parameters that the file accepts, and samples of the required ones that are missing."""
        given = _parsed(survey, self._texts)
        known = {name: value for name, value in given.items() if survey.parameters[name].step.accepts(value)}
        for name, parameter in survey.parameters.items():
            samples = sample_answers(parameter.step) if parameter.is_required and name not in known else ()
            if samples:
                known[name] = samples[0]
        return known

    def begin_again(self, survey: Survey, before: SessionState | None) -> None:
        """Begin another session of the newest revision, with the language and the answers of an earlier one."""
        self.number += 1
        self.load(survey)
        if before is None:
            return
        if before.language in survey.languages:
            self.show_in(survey, str(before.language))
        for step, value in before.answers.items():
            result = self._store.turns.submit(
                self.key(survey), Answer(at=self._store.clock(), step=step, value=value, confirmed=True)
            )
            if isinstance(result.snapshot, Snapshot) and step not in result.snapshot.state.answers:
                return

    def restart(self, survey: Survey) -> None:
        self._store.turns.submit(self.key(survey), Restart(at=self._store.clock()))

    def show_in(self, survey: Survey, language: str) -> None:
        self._store.turns.submit(self.key(survey), SetLanguage(at=self._store.clock(), language=language))

    def jump(self, survey: Survey, step: str) -> bool:
        """Go to a step, answering others if necessary; return False if no answers are known that lead there."""
        state = self.load(survey).state
        at = self._store.clock()
        if step in (*state.step_history, *state.answers):
            self._store.turns.submit(self.key(survey), Goto(at=at, step=step))
            return True
        answers = answers_to(survey, step, at, state.parameters)
        if answers is None:
            return False
        self.restart(survey)
        for answer in answers:
            self._store.turns.submit(self.key(survey), answer)
        return True


def answers_to(
    survey: Survey, target: str, at: int, parameters: Mapping[str, Any] | None = None
) -> Sequence[Answer] | None:
    """Return the fewest answers that lead from the first step to another one, as far as samples show."""
    begun = decide(survey, None, Begin(at=at, parameters=parameters or {}))
    if isinstance(begun, Rejection):
        return None
    waiting: deque[tuple[SessionState, tuple[Answer, ...]]] = deque([(apply(None, begun), ())])
    visits: Counter[str] = Counter()
    while waiting:
        state, answers = waiting.popleft()
        step = survey.step(state.current_step)
        if state.current_step == target:
            return answers
        if step is None or visits[step.id] >= VISITS:
            continue
        visits[step.id] += 1
        for value in (*sample_answers(step)[:ANSWERS_TRIED], None):
            answer = Answer(at=at, step=step.id, value=_shown(survey, state, step, value), confirmed=True)
            event = decide(survey, state, answer)
            if not isinstance(event, Rejection):
                waiting.append((apply(state, event), (*answers, answer)))
    return None


def _shown(survey: Survey, state: SessionState, step: Step, value: object) -> object:
    if not isinstance(step, PageStep) or not isinstance(value, Mapping):
        return value
    given: Mapping[str, object] = value
    return answer_fields(survey, step, state, lambda field: given.get(field.id))


def _parsed(survey: Survey, texts: Mapping[str, str]) -> dict[str, Any]:
    given = {name: text for name, text in texts.items() if text and name in survey.parameters}
    return parse_parameters(survey.parameters, given)


def parameter_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else strict_json.encode(value)
