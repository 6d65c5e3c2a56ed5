"""Choices and ranking: several options."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .choice import Display, OptionsStep, OptionValue, StoredOption, chosen_value, code_options, find_option, other_text
from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue, newest
from .step import InvalidAnswer, SampleRequest

_EXCLUSIVE_SAMPLES = 0.15  # share of samples with an option that excludes the others


class ChoicesStep(OptionsStep):
    """Any number of the options, in the order of the file."""

    type: Literal["choices"]
    min_choices: Annotated[
        int | None, Field(ge=0, description="Fewest options; default: 1 if an answer is required, else 0")
    ] = None
    max_choices: Annotated[int | None, Field(ge=1, description="Most options; default: all")] = None
    display: Display = None

    computable = frozenset({"min_choices", "max_choices", "default"})
    is_list = True
    answering_s = 5.0

    @model_validator(mode="before")
    @classmethod
    def _default_bounds(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("options"), list | tuple):
            return data
        bounds = {"min_choices": int(data.get("required", True) is True), "max_choices": len(data["options"])}
        return {**data, **{name: bound for name, bound in bounds.items() if data.get(name) is None}}

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        fewest, most = self._bounds
        if fewest > most:
            raise ValueError(f"min_choices {fewest} is greater than max_choices {most}")
        if most > len(self.options):
            raise ValueError(f"max_choices {most} is greater than the number of options, {len(self.options)}")
        return self

    @property
    def _bounds(self) -> tuple[int, int]:
        return self.min_choices or 0, self.max_choices or len(self.options)

    @cached_property
    def _exclusive(self) -> frozenset[OptionValue]:
        return frozenset(option.value for option in self.options if option.exclusive)

    def check_answer(self, value: object) -> list[StoredOption]:
        if not isinstance(value, list | tuple):
            raise InvalidAnswer("refusals.must_be_list")
        chosen = [self.check_option(item) for item in value]
        order = list(self.values)
        if self.order == "random":
            chosen.sort(key=lambda item: order.index(chosen_value(item)))
        ranks = [order.index(chosen_value(item)) for item in chosen]
        if any(left >= right for left, right in pairwise(ranks)):
            raise InvalidAnswer("refusals.options_in_order")
        self._check_count(chosen)
        return chosen

    def _check_count(self, chosen: Sequence[StoredOption]) -> None:
        alone = next((item for item in chosen if chosen_value(item) in self._exclusive), None)
        if alone is not None and len(chosen) > 1:
            label = self.labels()[chosen_value(alone)]
            raise InvalidAnswer("refusals.exclusive", label=label)
        fewest, most = self._bounds
        if len(chosen) < fewest and alone is None:
            raise InvalidAnswer("refusals.too_few", count=fewest)
        if len(chosen) > most:
            raise InvalidAnswer("refusals.too_many", count=most)

    def fits_count(self, chosen: Sequence[OptionValue | None], hidden: frozenset[OptionValue]) -> bool:
        together = len(self.options) - len(hidden | self._exclusive)
        limit = max(together, min(len(self.options) - len(hidden), 1))
        # A computed bound can change with time, which withdraws no answer.
        fewest = 0 if "min_choices" in self.computed else min(self.min_choices or 0, limit)
        return len(chosen) >= fewest or not self._exclusive.isdisjoint(chosen)

    def sample(self, request: SampleRequest) -> object:
        values = [value for value in self.values if value not in self._exclusive]
        fewest, most = self._bounds
        if self._exclusive and (len(values) < max(fewest, 1) or request.random.random() < _EXCLUSIVE_SAMPLES):
            return [self.sample_option(next(value for value in self.values if value in self._exclusive), request)]
        count = min(max(1 + int(request.random.expovariate(1.1)), fewest), most, len(values))
        chosen = set(request.random.sample(range(len(values)), count))
        return [self.sample_option(value, request) for index, value in enumerate(values) if index in chosen]

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        coded = code_options(revisions, range(CODES.stop))  # a negative code would make an odd name
        with_text = cls.values_with_text(revisions)
        prompt = newest(revisions).prompt
        columns: list[AnswerColumn] = []
        for option in coded.values():
            label, suffix = f"{prompt}: {option.label}", f"_{option.code}"
            columns.append(AnswerColumn(kind="chosen", label=label, suffix=suffix, option=option))
            if option.value in with_text:
                columns.append(AnswerColumn(kind="text", label=label, suffix=f"{suffix}_other"))
        return AnswerColumns(tuple(columns), partial(_to_cells, coded, with_text))


def _to_cells(codes: Mapping[Any, CodedValue], with_text: frozenset[Any], value: object) -> Sequence[Cell] | None:
    if not isinstance(value, list | tuple):
        return None
    texts: dict[int, str | None] = {}
    for item in value:
        option, text = find_option(codes, chosen_value(item)), other_text(item)
        if option is None or option.code in texts or not (text is None or option.value in with_text):
            return None
        texts[option.code] = text
    cells: list[Cell] = []
    for option in codes.values():
        cells.append(int(option.code in texts))
        if option.value in with_text:
            cells.append(texts.get(option.code))
    return cells


class RankingStep(OptionsStep):
    """All of the options, in the participant's order."""

    type: Literal["ranking"]

    is_list = True
    statistics = frozenset({"ranks"})
    answering_s = 12.0

    @model_validator(mode="after")
    def _ranks_all_alike(self) -> Self:
        if any(option.other or option.exclusive for option in self.options):
            raise ValueError("`other` and `exclusive` are for choice and choices: all options of a ranking are ranked")
        return self

    def check_answer(self, value: object) -> list[OptionValue]:
        if not isinstance(value, list | tuple):
            raise InvalidAnswer("refusals.must_be_list")
        ranked = [option for item in value if (option := find_option(self.values, item)) is not None]
        if len(ranked) < len(value) or len(ranked) != len(self.options) or len(set(ranked)) < len(ranked):
            raise InvalidAnswer("refusals.must_rank_all")
        return ranked

    def fits_count(self, chosen: Sequence[OptionValue | None], hidden: frozenset[OptionValue]) -> bool:
        return len(chosen) == len(self.options) - len(hidden)

    def sample(self, request: SampleRequest) -> object:
        values = list(self.values)
        first = int(request.lean * len(values))
        places = [(index + first) % len(values) + request.random.expovariate(0.5) for index in range(len(values))]
        return [value for _, value in sorted(zip(places, values, strict=True), key=lambda pair: pair[0])]

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        coded = code_options(revisions, range(CODES.stop))
        prompt = newest(revisions).prompt
        columns = tuple(
            AnswerColumn(kind="rank", label=f"{prompt}: {option.label}", suffix=f"_{option.code}", option=option)
            for option in coded.values()
        )
        return AnswerColumns(columns, partial(_rank_cells, coded))


def _rank_cells(codes: Mapping[Any, CodedValue], value: object) -> Sequence[Cell] | None:
    if not isinstance(value, list | tuple):
        return None
    ranked = [option.code for item in value if (option := find_option(codes, item)) is not None]
    ranks = {code: rank for rank, code in enumerate(ranked, start=1)}
    if len(ranks) < len(value):  # no option, or twice
        return None
    return [ranks.get(option.code) for option in codes.values()]
