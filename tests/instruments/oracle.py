"""What an instrument's `original.py` says: the rules of the original, in Python, by the original's own ids.

It is written from the original file, never from `survey.yaml`, and uses nothing of `app/`. An item says where our
conversion asks it; all else is said in the original's terms.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/original.py"))
"""The instruments: the names of their folders, and the ids of our surveys."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the original's rules read: `given["item"]` is the answer, None without one; codes of several are a list."""

    answers: Mapping[str, Any]
    known: Mapping[str, Any]
    today: str
    language: str

    def __getitem__(self, item: str) -> Any:
        return self.answers.get(item)


Rule = Callable[[Given], bool]
Samples = Sequence[Any] | Callable[[Given], Sequence[Any]]
"""Answers in the original's codes; those that depend on other answers or the date come from a function."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A question or text of the original.

    Attributes:
        id: as in the original.
        at: where we ask it: `step`, `page.field`, `grid.row`, or `step#option`: the text beside that option.
        answers: answers that the original accepts; by default each of the options. A text without answer has (None,).
        shown: the original's condition, on items before this one; None: always.
        required: whether the original demands an answer. An item that may stay empty should have None in `answers`.
        options: the codes that are shown, in order; None: it has no options, or they are those of its grid.
        refused: answers that break a rule of the original.
        doubted: answers that it accepts after a warning.
        default: the answer that is there before the participant gives one.
        ranks: whether an answer has all options that are shown, in an order.
        shuffled: whether the options are shown in a random order.
        codes: our value by the original's code, where they differ.
    """

    id: str
    at: str
    answers: Samples = ()
    shown: Rule | None = None
    required: bool | Rule = True
    options: Samples | None = None
    refused: Samples = ()
    doubted: Samples = ()
    default: Callable[[Given], Any] | None = None
    ranks: bool = False
    shuffled: bool = False
    codes: Mapping[Any, Any] = field(default_factory=dict)

    @property
    def step(self) -> str:
        return self.at.partition("#")[0].partition(".")[0]

    @property
    def part(self) -> str | None:
        """The id of the field or row, where the item is one."""
        return self.at.partition("#")[0].partition(".")[2] or None

    @property
    def beside(self) -> str | None:
        """The value of the option beside which the item's text is written, if it is such a text."""
        return self.at.partition("#")[2] or None

    def ours(self, code: Any) -> Any:
        """Return our value for an answer."""
        if isinstance(code, list):
            return [self.ours(one) for one in code]
        return self.codes.get(code, code)

    def is_shown(self, given: Given) -> bool:
        return self.shown is None or self.shown(given)

    def is_required(self, given: Given) -> bool:
        return self.required if isinstance(self.required, bool) else self.required(given)

    def shown_options(self, given: Given) -> list[Any] | None:
        return None if self.options is None else list(_samples(self.options, given))

    def accepted(self, given: Given) -> list[Any]:
        """Return the answers that can be given now."""
        if self.answers == ():
            return self.shown_options(given) or [None]
        answers = list(_samples(self.answers, given))
        shown = self.shown_options(given)
        if shown is None:
            return answers
        return [answer for answer in answers if answer is None or self.is_among(answer, shown)] or [None]

    def is_among(self, answer: Any, options: Sequence[Any]) -> bool:
        chosen = set(answer if isinstance(answer, list) else [answer])
        return chosen == set(options) if self.ranks else chosen <= set(options)

    def wrong(self, given: Given) -> list[Any]:
        return list(_samples(self.refused, given))

    def unusual(self, given: Given) -> list[Any]:
        return list(_samples(self.doubted, given))


def _samples(samples: Samples, given: Given) -> Sequence[Any]:
    return samples(given) if callable(samples) else samples


@dataclass(frozen=True, slots=True)
class Ending:
    """How the original ends.

    Attributes:
        place: of the entry under our `end`; None: none of them.
        inserted: what stands for each insertion of its title and text, in order.
    """

    place: int | None = None
    inserted: tuple[str, ...] = ()
    redirect: str | None = None


def _nothing(given: Given) -> Mapping[str, Any]:
    return {}


def _no_ending(given: Given) -> Ending:
    return Ending()


@dataclass(frozen=True, kw_only=True)
class Original:
    """An instrument.

    Attributes:
        items: in the original's order; those of a page or grid stand together.
        rules: parts of conditions by a name of their own; walks take both sides of each.
        returns: our step that leads back to an earlier one, with the condition under which it does.
        values: what the original computes, by the names of our values.
        outcomes: for a value that walks must give several results, these.
        inserted: what the original inserts into texts, in order, by our id of a step or field; `id.help` for its help.
        ending: how it ends, when all is answered.
        arrivals: what can be known before the first question, one of them a walk; by the names of our parameters.
        languages: those of the conversion; the first one is its own.
    """

    items: Sequence[Item]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    returns: Mapping[str, tuple[Rule, str]] = field(default_factory=dict)
    values: Callable[[Given], Mapping[str, Any]] = _nothing
    outcomes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    inserted: Callable[[Given], Mapping[str, Sequence[str]]] = _nothing
    ending: Callable[[Given], Ending] = _no_ending
    endings: Sequence[int | None] = (None,)
    arrivals: Sequence[Mapping[str, Any]] = ({},)
    languages: Sequence[str] = ("en",)

    @cached_property
    def steps(self) -> dict[str, list[Item]]:
        """Return the items of each step."""
        steps: dict[str, list[Item]] = {}
        for item in self.items:
            steps.setdefault(item.step, []).append(item)
        return steps


@cache
def original(name: str) -> Original:
    """Return an instrument."""
    loaded: Original = importlib.import_module(f"tests.instruments.{name}.original").ORIGINAL
    return loaded
