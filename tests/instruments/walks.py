"""Walks through an instrument that, together, show and hide each item, take both sides of each rule and reach each end.

They are found as fuzzers find inputs: a walk that reaches something new is kept, and others are made by changing it. All
is decided by a seed; the original's rules alone say what each turn leads to.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.instruments.expected import END, Entered, ExpectedSession, Outcome
from tests.instruments.oracle import Given, Item, Original, original

Goal = tuple[str, ...]
"""What walks should reach: a word for its kind, and what it is about."""

MOST_WALKS = 2_000
"""That are tried."""

MOST_TURNS = 400

ALSO_WANTED = ("refused", "missing", "withdrawn")
"""Goals that not every instrument has, or that are not known before, as far as many walks reach them."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the participant does at a step.

    Attributes:
        step: the current one, or an earlier one whose answer is edited.
        item: that is refused, doubted or missing.
    """

    step: str
    outcome: Outcome
    entered: Entered = field(default_factory=dict)
    item: str | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """A way through an instrument, to its end."""

    known: Mapping[str, Any]
    language: str
    turns: tuple[Turn, ...]
    goals: frozenset[Goal]

    def begin(self, name: str, today: str) -> ExpectedSession:
        return ExpectedSession(original(name), self.known, today, self.language)


@cache
def covering_walks(name: str, today: str) -> tuple[Walk, ...]:
    """Return few walks that reach all goals, with refused answers, edits and steps back."""
    return _search(name, today, goals(original(name)), straight=False)


@cache
def straight_walks(name: str, today: str) -> tuple[Walk, ...]:
    """Return few walks that show every step, without refused answers, edits and steps back."""
    wanted = {goal for goal in goals(original(name)) if goal[0] in ("step", "language")}
    return _search(name, today, wanted, straight=True)


def _search(name: str, today: str, wanted: set[Goal], *, straight: bool) -> tuple[Walk, ...]:
    kept: list[tuple[Walk, _Plan]] = []
    reached: set[Goal] = set()
    rng = random.Random(name)
    in_a_row = 0
    for _ in range(MOST_WALKS):
        plan = (
            rng.choice(kept)[1].changed(rng) if kept and rng.random() < 0.7 else _Plan(rng.random(), straight=straight)
        )
        walk = _walk(original(name), plan, today)
        new = {goal for goal in walk.goals - reached if goal in wanted or goal[0] in ALSO_WANTED}
        in_a_row = 0 if new else in_a_row + 1
        if new:
            kept.append((walk, plan))
            reached |= new
        if wanted <= reached and (straight or in_a_row > 50):
            break
    return smallest([walk for walk, _ in kept], reached)


def smallest(walks: list[Walk], wanted: set[Goal]) -> tuple[Walk, ...]:
    """Return few of the walks that reach what is wanted, as far as they do: each time the one that adds most a turn."""
    left = set(wanted)
    chosen: list[Walk] = []
    while left:
        best = max(walks, key=lambda walk: len(walk.goals & left) / (len(walk.turns) + 5))
        if not best.goals & left:
            break
        chosen.append(best)
        left -= best.goals
    return tuple(chosen)


def random_walks(name: str, today: str, count: int, seed: int) -> Iterator[Walk]:
    """Yield walks without an aim."""
    rng = random.Random(f"{name} {seed} random")
    for _ in range(count):
        yield _walk(original(name), _Plan(rng.random()), today)


def goals(instrument: Original) -> set[Goal]:
    """Return what the walks of an instrument have to reach."""
    wanted: set[Goal] = {("step", step) for step in instrument.steps}
    for item in instrument.items:
        wanted.add(("shown", item.id))
        if item.shown is not None:
            wanted |= {("hidden", item.id), ("edit", "withdraws items"), ("edit", "adds items")}
        if callable(item.required):
            wanted |= {("required", item.id), ("optional", item.id)}
        for kind, samples in (("accepted", item.answers), ("doubted", item.doubted)):
            if not callable(samples):
                wanted |= {(kind, item.id, repr(sample)) for sample in samples}
        wanted |= {("refused", item.id, str(n)) for n in range(0 if callable(item.refused) else len(item.refused))}
        if not callable(item.options):
            wanted |= {("option", item.id, repr(option)) for option in item.options or ()}
    wanted |= {("rule", name, side) for name in instrument.rules for side in ("True", "False")}
    wanted |= {("ending", repr(place)) for place in instrument.endings}
    wanted |= {("value", name, repr(value)) for name, values in instrument.outcomes.items() for value in values}
    wanted |= {("arrival", repr(known)) for known in instrument.arrivals}
    wanted |= {("language", language) for language in instrument.languages}
    return wanted


class _Plan:
    """Decides everything about a walk; a changed plan decides most of it the same."""

    def __init__(self, seed: float, picks: Mapping[str, float] | None = None, *, straight: bool = False) -> None:
        self._seed = seed
        self._picks = dict(picks or {})
        self._straight = straight
        self._rng = random.Random(seed)
        self._lean = self._rng.choice((None, None, 0.0, 0.99))

    def changed(self, rng: random.Random) -> "_Plan":
        seed = self._seed if rng.random() < 0.7 else rng.random()
        plan = _Plan(seed, self._picks, straight=self._straight)
        for name in rng.sample(sorted(self._picks), min(len(self._picks), rng.choice((1, 1, 2, 3)))):
            plan._picks[name] = rng.random()
        return plan

    def pick(self, name: str, choices: Any) -> Any:
        """Choose the same for the same name each time; some plans choose mostly the first, others mostly the last."""
        if name not in self._picks:
            self.forget(name)
            if self._lean is not None and self._rng.random() < 0.9:
                self._picks[name] = self._lean
        return choices[int(self._picks[name] * len(choices))]

    def forget(self, name: str) -> None:
        """Let the next choice for a name be another one."""
        self._picks[name] = self._rng.random()

    def detours(self, share: float) -> bool:
        """Return whether to do what is not straight on."""
        return not self._straight and self._rng.random() < share

    def any(self, choices: list[Any]) -> Any:
        return self._rng.choice(choices)

    def some(self, choices: list[Any], most: int) -> list[Any]:
        return self._rng.sample(choices, min(len(choices), most))


def _walk(instrument: Original, plan: _Plan, today: str) -> Walk:
    known = plan.pick("arrival", instrument.arrivals)
    language = plan.pick("language", instrument.languages)
    session = ExpectedSession(instrument, known, today, language)
    reached: set[Goal] = {("arrival", repr(known)), ("language", language)}
    turns: list[Turn] = []
    tried: set[str] = set()
    edits = 0
    while session.current != END:
        assert len(turns) < MOST_TURNS, "the walk does not end"
        step = session.current
        if step not in tried:
            tried.add(step)
            turns += _wrong_turns(session, plan, reached)
        if edits < 3 and session.history and plan.detours(0.12):
            edits += 1
            before = _shown_items(session)
            turn = _edit(session, plan)
            turns.append(turn)
            after = _shown_items(session)
            reached |= {("withdrawn", item) for item in before - after}
            reached |= {
                ("edit", f"{kind} items")
                for kind, items in (("withdraws", before - after), ("adds", after - before))
                if items
            }
            continue
        turn = _answer(session, plan, step)
        session.answer(step, turn.entered)
        turns.append(turn)
        if session.current in session.route[: session.route.index(step)]:
            _think_again(session, plan)
    reached |= _reached_at_end(session, turns)
    return Walk(known, language, tuple(turns), frozenset(reached))


def _shown_items(session: ExpectedSession) -> set[str]:
    """Return the items that are shown on the route, including its first step without an answer."""
    entered = {step: session.entered(step) for step in session.route if step != END}
    return {item.id for step, answers in entered.items() for item in session.items(step, answers)}


def _edit(session: ExpectedSession, plan: _Plan) -> Turn:
    """Go back, or answer an earlier step otherwise."""
    if plan.any([True, False]):
        turn = Turn(session.current, "back")
        session.back()
        _think_again(session, plan)
        return turn
    step = plan.any(session.history)
    for item in session.original.steps[step]:
        plan.forget(item.id)
    turn = _answer(session, plan, step)
    session.answer(step, turn.entered)
    return turn


def _think_again(session: ExpectedSession, plan: _Plan) -> None:
    """Let the answers from the current step on be others."""
    for step in session.route[session.route.index(session.current) :]:
        for item in session.original.steps.get(step, []):
            plan.forget(item.id)


def _answer(session: ExpectedSession, plan: _Plan, step: str) -> Turn:
    """Return an accepted answer; a doubted one sometimes."""
    doubted: list[str] = []

    def choose(item: Item, given: Given) -> Any:
        unusual = item.unusual(given)
        if unusual and not doubted and plan.pick(f"{item.id} is doubted", (False, False, True)):
            doubted.append(item.id)
            return plan.pick(f"{item.id} doubted", unusual)
        return plan.pick(item.id, item.accepted(given))

    entered = session.fill(step, choose)
    return Turn(step, "doubted", entered, doubted[0]) if doubted else Turn(step, "accepted", entered)


def _wrong_turns(session: ExpectedSession, plan: _Plan, reached: set[Goal]) -> Iterator[Turn]:
    """Yield some answers at the current step that are refused."""
    if not plan.detours(0.8):
        return
    wrong: list[tuple[Outcome, str, int, Any]] = []

    def choose(item: Item, given: Given) -> Any:
        accepted = item.accepted(given)
        wrong.extend(("refused", item.id, n, answer) for n, answer in enumerate(item.wrong(given)))
        if item.beside is None and item.is_required(given) and accepted != [None]:
            wrong.append(("missing", item.id, 0, None))
        return plan.pick(item.id, accepted)

    session.fill(session.current, choose)
    for outcome, wrong_item, n, answer in plan.some(wrong, 4):
        reached.add((outcome, wrong_item, str(n)))

        def spoil(item: Item, given: Given, wrong_item: str = wrong_item, answer: Any = answer) -> Any:
            return answer if item.id == wrong_item else plan.pick(item.id, item.accepted(given))

        yield Turn(session.current, outcome, session.fill(session.current, spoil), wrong_item)


def _reached_at_end(session: ExpectedSession, turns: list[Turn]) -> set[Goal]:
    """Return the goals that the finished walk has reached."""
    instrument = session.original
    given = session.given()
    reached: set[Goal] = {("rule", name, str(bool(rule(given)))) for name, rule in instrument.rules.items()}
    reached |= {("value", name, repr(value)) for name, value in session.computed().items()}
    reached.add(("ending", repr(session.ending().place)))
    on_route = [step for step in session.route if step != END]
    reached |= {("step", step) for step in on_route}
    shown = [item for step in on_route for item in session.items(step, session.entered(step))]
    ids = {item.id for item in shown}
    reached |= {("hidden", item.id) for item in instrument.items if item.id not in ids}
    for item in shown:
        reached.add(("shown", item.id))
        reached.add(("required" if item.is_required(given) else "optional", item.id))
        options = item.shown_options(given) or []
        reached |= {("option", item.id, repr(option)) for option in options}
    leads_back = [turn.entered for turn in turns if turn.step in instrument.returns and turn.outcome == "accepted"]
    for answers in (given.answers, *leads_back):
        reached |= {("accepted", item, repr(answer)) for item, answer in answers.items()}
    doubted = [(turn.item, turn.entered[turn.item]) for turn in turns if turn.outcome == "doubted" and turn.item]
    return reached | {("doubted", item, repr(answer)) for item, answer in doubted}
