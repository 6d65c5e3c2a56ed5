"""Choices: any number of options."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .choice import OptionsStep, OptionValue, find_option, number_options
from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue
from .step import InvalidAnswer, SampleRequest, newest


class ChoicesStep(OptionsStep):
    """Any number of the options, in the order of the file."""

    type: Literal["choices"]
    min_choices: Annotated[
        int | None, Field(ge=0, description="Fewest options; default: 1 if an answer is required, else 0")
    ] = None
    max_choices: Annotated[int | None, Field(ge=1, description="Most options; default: all")] = None

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
        if fewest > most or most > len(self.options):
            raise ValueError(f"min_choices {fewest} <= max_choices {most} <= {len(self.options)} options must hold")
        return self

    @property
    def _bounds(self) -> tuple[int, int]:
        return self.min_choices or 0, self.max_choices or len(self.options)

    def check(self, value: object) -> list[OptionValue]:
        if not isinstance(value, list | tuple):
            raise InvalidAnswer("The answer must be a list of options.")
        chosen = [self.check_option(item) for item in value]
        order = list(self.values)
        ranks = [order.index(item) for item in chosen]
        if any(left >= right for left, right in pairwise(ranks)):
            raise InvalidAnswer("The options must be in the order of the survey, each at most once.")
        fewest, most = self._bounds
        if len(chosen) < fewest:
            raise InvalidAnswer(f"Choose at least {fewest}.")
        if len(chosen) > most:
            raise InvalidAnswer(f"Choose at most {most}.")
        return chosen

    def sample(self, request: SampleRequest) -> object:
        values = list(self.values)
        fewest, most = self._bounds
        count = min(max(1 + int(request.random.expovariate(1.1)), fewest), most)
        chosen = set(request.random.sample(range(len(values)), count))
        return [value for index, value in enumerate(values) if index in chosen]

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        """One column an option, named by its code, unless codes would make odd names (-1)."""
        coded = number_options(revisions, range(CODES.stop))
        prompt = newest(revisions).prompt
        columns = tuple(
            AnswerColumn(kind="chosen", label=f"{prompt}: {option.label}", suffix=f"_{option.code}", option=option)
            for option in coded
        )
        return AnswerColumns(columns=columns, to_cells=partial(_to_cells, {one.value: one for one in coded}))


def _to_cells(codes: Mapping[Any, CodedValue], value: object) -> Sequence[Cell] | None:
    if not isinstance(value, list | tuple):
        return None
    chosen = [find_option(codes, item) for item in value]
    distinct = {option.code for option in chosen if option is not None}
    if len(distinct) < len(chosen):  # no option, or twice
        return None
    return [int(option.code in distinct) for option in codes.values()]
