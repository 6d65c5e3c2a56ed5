"""Ranking: all options, the first one first."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

from pydantic import model_validator

from .choice import OptionsStep, OptionValue, find_option, number_options
from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue
from .step import InvalidAnswer, SampleRequest, newest


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
        coded = number_options(revisions, range(CODES.stop))
        prompt = newest(revisions).prompt
        columns = tuple(
            AnswerColumn(kind="rank", label=f"{prompt}: {option.label}", suffix=f"_{option.code}", option=option)
            for option in coded
        )
        return AnswerColumns(columns, partial(_to_cells, {one.value: one for one in coded}))


def _to_cells(codes: Mapping[Any, CodedValue], value: object) -> Sequence[Cell] | None:
    if not isinstance(value, list | tuple):
        return None
    ranked = [option.code for item in value if (option := find_option(codes, item)) is not None]
    ranks = {code: rank for rank, code in enumerate(ranked, start=1)}
    if len(ranks) < len(value):  # no option, or twice
        return None
    return [ranks.get(option.code) for option in codes.values()]
