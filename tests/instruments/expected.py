"""What a session of a converted instrument should be, by the original's rules and the protocol's (docs/protocol.md)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.instruments.oracle import Ending, Given, Item, Original

END = "end"

Outcome = Literal["accepted", "doubted", "refused", "missing", "back"]
"""What becomes of a turn. `doubted`: accepted once it is confirmed. `missing`: a required answer is left out."""

Entered = Mapping[str, Any]
"""The answers that are given together, by item: of one step."""


@dataclass(slots=True)
class ExpectedSession:
    """A session as it should be after each turn.

    Attributes:
        route: the steps up to the first one without an answer, or that leads back, or `end`.
        current: the step that is shown, or `end`.
    """

    original: Original
    known: Mapping[str, Any]
    today: str
    language: str
    route: list[str] = field(default_factory=list)
    current: str = ""
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _returns_to: str | None = None

    def __post_init__(self) -> None:
        self._follow(next(iter(self.original.steps)))
        self.current = self.route[-1]

    @property
    def history(self) -> list[str]:
        """The route before the current step."""
        return self.route[: self.route.index(self.current)]

    def given(self, until: str | None = None, entered: Entered | None = None) -> Given:
        """Return what the original's rules read: all answers, or those before a step and what is entered there."""
        answers: dict[str, Any] = {}
        for step, items in self._answers.items():
            if step == until:
                break
            answers |= items
        return self._given({**answers, **(entered or {})})

    def items(self, step: str, entered: Entered | None = None) -> list[Item]:
        """Return the items of a step that are shown, with what is entered there so far."""
        return self._shown(step, self.given(step).answers, entered or {})

    def fill(self, step: str, choose: Callable[[Item, Given], Any]) -> dict[str, Any]:
        """Return what is entered at a step if each shown item is answered so, with what was entered before it."""
        answers = dict(self.given(step).answers)
        given = self._given(answers)
        entered: dict[str, Any] = {}
        for item in self.original.steps[step]:
            if item.is_shown(given):
                entered[item.id] = answers[item.id] = choose(item, given)
        return entered

    def answer(self, step: str, entered: Entered) -> None:
        """Give an accepted answer to the current step, or to an earlier one."""
        following = step == self.current
        self._answers[step] = dict(entered)
        self._follow(step)
        if following and step in self.route[:-1]:
            self.current = self.route[self.route.index(step) + 1]
        elif following and self._returns_to is not None:
            self.current = self._returns_to
        elif self.current not in self.route:
            self.current = self.route[-1]

    def back(self) -> None:
        self.current = self.history[-1]

    def take(self, outcome: Outcome, step: str, entered: Entered) -> None:
        """Take a turn."""
        if outcome == "back":
            self.back()
        elif outcome in ("accepted", "doubted"):
            self.answer(step, entered)

    def entered(self, step: str) -> Entered:
        """Return the answers to a step, none if it has not been answered."""
        return self._answers.get(step, {})

    def value(self, step: str, entered: Entered) -> Any:
        """Return the answer to a step as our format has it; what an edit shows without asking for it has none."""
        parts: dict[str, Any] = {}
        value: Any = None
        for item in self.items(step, entered):
            if item.id not in entered:
                continue
            answer = item.ours(entered[item.id])
            if item.beside is not None:
                within = parts.get(item.part) if item.part else value
                written = _with_text(within, item.ours(item.beside), answer or "")
                if item.part:
                    parts[item.part] = written
                else:
                    value = written
            elif item.part is None:
                value = answer
            else:
                parts[item.part] = answer
        return parts or value

    def values_by_step(self) -> dict[str, Any]:
        """Return our `answers`: those on the route."""
        return {step: self.value(step, entered) for step, entered in self._answers.items()}

    def computed(self) -> Mapping[str, Any]:
        return self.original.values(self.given())

    def ending(self) -> Ending:
        return self.original.ending(self.given())

    def _given(self, answers: Mapping[str, Any]) -> Given:
        return Given(answers, self.known, self.today, self.language)

    def _shown(self, step: str, before: Mapping[str, Any], entered: Entered) -> list[Item]:
        answers = dict(before)
        given = self._given(answers)
        shown: list[Item] = []
        for item in self.original.steps[step]:
            if item.is_shown(given):
                shown.append(item)
                answers[item.id] = entered.get(item.id)
        return shown

    def _follow(self, first: str) -> None:
        """Follow the steps from one of the route on; answers that are not reached are left out."""
        steps = list(self.original.steps)
        self.route = self.route[: self.route.index(first)] if first in self.route else []
        self._returns_to = None
        kept = {step: self._answers[step] for step in self.route}
        before = {item: answer for items in kept.values() for item, answer in items.items()}
        for step in steps[steps.index(first) :]:
            entered = self._answers.get(step, {})
            shown = self._shown(step, before, entered)
            if not shown:
                continue
            self.route.append(step)
            given = self._given({**before, **entered})
            unfit = {item.id for item in shown if not self._fits(item, entered.get(item.id), given)}
            if step not in self._answers or any(
                item.part is None or item.is_required(given) for item in shown if item.id in unfit
            ):
                break
            kept[step] = {item.id: entered[item.id] for item in shown if item.id in entered.keys() - unfit}
            before |= kept[step]
            returns, to = self.original.returns.get(step, (None, None))
            if returns is not None and returns(self._given(before)):
                self._returns_to = to
                break
        else:
            self.route.append(END)
        self._answers = kept

    def _fits(self, item: Item, answer: Any, given: Given) -> bool:
        """Return whether an accepted answer, or none, is one with what is shown now."""
        if answer is None:
            return not item.is_required(given)
        options = item.shown_options(given)
        return options is None or item.is_among(answer, options)


def _with_text(value: Any, option: Any, text: str) -> Any:
    """Return an answer with a text beside one of its options."""
    if isinstance(value, list):
        return [_with_text(one, option, text) for one in value]
    return {"value": option, "text": text} if value == option else value
