"""Grid: the same options for each of several rows."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator

from ...core.formats import STEP_ID
from ..texts import OneLine
from .choice import ChoiceStep, Option, Options, OptionValue, code_options, find_option, first_repeated, require_plain
from .choices import ChoicesStep
from .columns import CODES, AnswerColumn, AnswerColumns, Cell, CodedValue, newest
from .step import BaseStep, Code, InvalidAnswer, SampleRequest, StrictModel, Value, is_absent, unknown_fields

MAX_ROWS = 200


class Row(StrictModel):
    """A row of a grid."""

    id: Annotated[
        str, Field(pattern=STEP_ID, description="Unique within the grid; conditions, exports and the database use it")
    ]
    label: Annotated[str, Field(min_length=1, max_length=2000, description="What the participant reads"), OneLine]
    audio: Annotated[
        str | None, Field(max_length=2000, description="What audio mode speaks; default: the label"), OneLine
    ] = None
    code: Annotated[Code | None, Field(description="What the row asks, for exports", exclude_if=is_absent)] = None


class GridStep(BaseStep):
    """One of the options, or several, for each row."""

    type: Literal["grid"]
    rows: Annotated[
        tuple[Row, ...],
        Field(strict=False, min_length=1, max_length=MAX_ROWS, description="What is asked, one row each"),
    ]
    options: Annotated[
        Options, Field(description="The options of every row, each a value or an object; values must differ")
    ]
    multiple: Annotated[bool, Field(description="`true`: any number of options a row")] = False

    value_types = frozenset({str, int, float})
    statistics = frozenset()
    answering_s = 8.0

    @field_validator("rows")
    @classmethod
    def _have_different_ids(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        ids = [row.id for row in rows]
        if (repeated := first_repeated(ids)) is not None:
            raise ValueError(f"two rows have the id {repeated}")
        if set(ids) == {"value", "text"}:
            raise ValueError("rows called value and text, and no other: their answer would be read as an option's text")
        return rows

    @field_validator("options")
    @classmethod
    def _are_plain(cls, options: tuple[Option, ...]) -> tuple[Option, ...]:
        require_plain(options, "grid")
        return options

    @cached_property
    def values(self) -> Mapping[OptionValue, OptionValue]:
        return {option.value: option.value for option in self.options}

    @cached_property
    def row_steps(self) -> tuple[ChoiceStep | ChoicesStep, ...]:
        kind = ChoicesStep if self.multiple else ChoiceStep
        return tuple(
            kind.model_construct(
                type=get_args(kind.model_fields["type"].annotation)[0],
                id=row.id,
                prompt=row.label,
                audio=row.audio,
                required=self.required,
                options=self.options,
                code=row.code,
            )
            for row in self.rows
        )

    @cached_property
    def row_ids(self) -> tuple[str, ...]:
        return tuple(row.id for row in self.rows)

    def check_answer(self, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidAnswer("refusals.must_be_rows")
        checked: dict[str, Any] = {}
        wrong = unknown_fields(value, self.row_ids)
        for row in self.row_ids:
            try:
                checked[row] = self._check_row(value.get(row))
            except InvalidAnswer as error:
                wrong[row] = error.message
        if wrong:
            raise InvalidAnswer("refusals.fields", fields=wrong)
        return checked

    def is_empty(self, value: object) -> bool:
        return value is None or (isinstance(value, Mapping) and not any(map(_is_chosen, value.values())))

    def accepts_draft(self, value: object) -> bool:
        if isinstance(value, Mapping) and value.keys() <= set(self.row_ids):
            return all(map(self._accepts_cell, value.values())) or super().accepts_draft(value)
        return super().accepts_draft(value)

    def parts(self) -> tuple[ChoiceStep | ChoicesStep, ...]:
        return self.row_steps

    def labels(self) -> Mapping[Value, str]:
        return {option.value: option.label for option in self.options}

    def sample(self, request: SampleRequest) -> object:
        values = list(self.values)
        level = min(int(request.level * len(values)), len(values) - 1)
        chosen = {
            row: values[max(0, min(len(values) - 1, level + round(request.random.gauss(0, 0.6))))]
            for row in self.row_ids
        }
        return {row: [value] for row, value in chosen.items()} if self.multiple else chosen

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        step = newest(revisions)
        rows = {row.id: row for one in reversed(list(revisions.values())) for row in one.rows}
        multiple = any(one.multiple for one in revisions.values())
        coded = code_options(revisions, CODES)
        options = tuple(coded.values())
        columns = []
        for row in rows.values():
            label = f"{step.prompt}: {row.label}"
            if not multiple:
                columns.append(AnswerColumn(kind="choice", label=label, suffix=f"_{row.id}", coded=options, row=row.id))
                continue
            columns += [
                AnswerColumn(
                    kind="chosen", label=f"{label}: {one.label}", suffix=f"_{row.id}_{one.code}", option=one, row=row.id
                )
                for one in options
            ]
        return AnswerColumns(tuple(columns), partial(_to_cells, tuple(rows), coded, multiple=multiple))

    def _check_row(self, value: object) -> Any:  # noqa: ANN401 - a value or a list
        if not _is_chosen(value):
            if self.required:
                raise InvalidAnswer("refusals.required")
            return None
        if not self.multiple:
            return self._option(value)
        if not isinstance(value, list | tuple):
            raise InvalidAnswer("refusals.must_be_list")
        chosen = {self._option(item) for item in value}
        if len(chosen) < len(value):
            raise InvalidAnswer("refusals.options_in_order")
        return [option for option in self.values if option in chosen]

    def _option(self, value: object) -> OptionValue:
        option = find_option(self.values, value)
        if option is None:
            raise InvalidAnswer("refusals.must_be_option")
        return option

    def _accepts_cell(self, cell: object) -> bool:
        items = cell if isinstance(cell, list) else [cell]
        return len(items) <= len(self.options) and all(
            one is None or find_option(self.values, one) is not None for one in items
        )


def _is_chosen(cell: object) -> bool:
    return cell is not None and cell not in ([], ())


def _to_cells(
    rows: Sequence[str], codes: Mapping[Any, CodedValue], value: object, *, multiple: bool
) -> Sequence[Cell] | None:
    if not isinstance(value, Mapping) or not value.keys() <= set(rows):
        return None
    cells: list[Cell] = []
    for row in rows:
        cell = value.get(row)
        items = cell if isinstance(cell, list | tuple) else [cell] if _is_chosen(cell) else []
        options = [find_option(codes, item) for item in items]
        if None in options or (not multiple and len(options) > 1):
            return None
        chosen = [option.value for option in options if option is not None]
        if multiple:
            cells += [None] * len(codes) if cell is None else [int(one in chosen) for one in codes]
        else:
            cells.append(chosen[0] if chosen else None)
    return cells
