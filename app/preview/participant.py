"""The participant of a preview: their session, and jumps to a step."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from ..sessions import SessionStore
from ..survey import (
    Answer,
    Begin,
    Goto,
    Rejection,
    Restart,
    SessionKey,
    SessionState,
    SetLanguage,
    Snapshot,
    Survey,
    answer_fields,
    apply,
    decide,
    sample_answers,
)
from ..survey.types import PageStep, Step

ANSWERS_TRIED = 12
"""Of a step, on the way to another one."""

VISITS = 10
"""Of a step by different ways, on which later conditions may depend."""


class PreviewParticipant:
    """The current participant. Each change of the file begins a new session, with the answers that still fit."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self.number = 1

    def key(self, survey: Survey) -> SessionKey:
        return self._store.queries.key(f"preview-{self.number}", survey.id)

    def load(self, survey: Survey) -> Snapshot:
        """Return the session, begun if there is none."""
        snapshot, _ = self._store.turns.get_or_create(self.key(survey), is_audio_mode=False)
        return snapshot

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
        answers = answers_to(survey, step, at)
        if answers is None:
            return False
        self.restart(survey)
        for answer in answers:
            self._store.turns.submit(self.key(survey), answer)
        return True


def answers_to(survey: Survey, target: str, at: int) -> Sequence[Answer] | None:
    """Return the fewest answers that lead from the first step to another one, as far as samples show."""
    begun = decide(survey, None, Begin(at=at))
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
    """Return an answer, to a page without those to fields that are hidden."""
    if not isinstance(step, PageStep) or not isinstance(value, Mapping):
        return value
    given: Mapping[str, object] = value
    return answer_fields(survey, step, state, lambda field: given.get(field.id))
