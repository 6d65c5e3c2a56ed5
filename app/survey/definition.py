"""A survey as its file defines it.

Parsing refuses everything that can be wrong; code with a :class:`Survey` never checks again.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from ..core import strict_json
from ..core.formats import DURATION, SURVEY_ID, duration_us, validation_message
from ..errors import InvalidJson, SurveyFileError
from .expressions import Condition, InvalidExpression, compile_condition
from .state import END
from .step_graph import StepGraph
from .types import STEP_TYPES, Step, StrictModel
from .yaml_text import read_yaml


class Survey(StrictModel):
    """A survey: its texts, its steps, and how long its sessions last."""

    id: Annotated[
        str, Field(pattern=SURVEY_ID, description="Identifies the survey in addresses, exports and the database")
    ]
    title: Annotated[str, Field(min_length=1, max_length=1000, description="Heading of the survey")]
    language: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
            description=(
                "Language of the texts as a BCP 47 tag, such as en or de-AT; selects how numbers are read, the "
                "direction of the page and the voice of audio mode"
            ),
        ),
    ]
    description: Annotated[str | None, Field(max_length=10_000, description="Shown under the title")] = None
    expires_after: Annotated[
        str | None,
        Field(
            pattern=DURATION,
            description="An unfinished session expires this long after its last change, such as 30d (s, m, h, d or w)",
        ),
    ] = None
    access: Annotated[
        Literal["public", "closed"],
        Field(description="`public`: anyone can start the survey; `closed`: only invited participants can"),
    ] = "public"
    retention: Annotated[
        str | None,
        Field(pattern=DURATION, description="A session is erased this long after its last change, such as 365d"),
    ] = None
    steps: Annotated[
        tuple[Step, ...],
        Field(min_length=1, max_length=10_000, description="The steps in order; the first one starts the survey"),
    ]

    def model_post_init(self, _context: object) -> None:
        ids = [step.id for step in self.steps]
        if len(self.steps_by_id) != len(ids):
            raise ValueError(f"two steps have the id {next(step_id for step_id in ids if ids.count(step_id) > 1)}")
        _ = self.graph  # compiles and checks the rules

    # Pydantic's private attributes cost a microsecond an access, four times a turn.
    @cached_property
    def definition(self) -> str:
        """As JSON with defaults, without access and retention, which apply to all revisions."""
        return strict_json.encode(self.model_dump(mode="json", exclude={"access", "retention"}))

    @cached_property
    def revision(self) -> str:
        """The first 128 bits of the definition's SHA-256, in hex."""
        return hashlib.sha256(self.definition.encode()).hexdigest()[:32]

    @cached_property
    def graph(self) -> StepGraph:
        return StepGraph.build(
            rules={step.id: self._compile_rules(step) for step in self.steps},
            possible_answers={step.id: step.possible_answers() for step in self.steps},
        )

    @cached_property
    def steps_by_id(self) -> Mapping[str, Step]:
        return {step.id: step for step in self.steps}

    @cached_property
    def client_steps(self) -> Mapping[str, Mapping[str, Any]]:
        """The steps as clients get them: with defaults, without rules."""
        return {step.id: step.model_dump(mode="json", exclude={"next"}) for step in self.steps}

    @property
    def first_step(self) -> str:
        return self.steps[0].id

    @cached_property
    def expires_after_us(self) -> int | None:
        """Microseconds without a change until an unfinished session expires."""
        return duration_us(self.expires_after)

    @cached_property
    def retention_us(self) -> int | None:
        """Microseconds without a change until a session is erased."""
        return duration_us(self.retention)

    def with_defaults(self, *, expires_after: str | None, retention: str | None) -> "Survey":
        """Return the survey with these durations where its file sets none.

        Definition and revision stay, since defaults can change.
        """
        update: dict[str, Any] = {"definition": self.definition, "revision": self.revision}
        for name, duration in (("expires_after", expires_after), ("retention", retention)):
            if duration is not None and getattr(self, name) is None:
                update |= {name: duration, f"{name}_us": duration_us(duration)}
        return self.model_copy(update=update)

    def step(self, step_id: str) -> Step | None:
        return self.steps_by_id.get(step_id)

    def client_step(self, step_id: str) -> Mapping[str, Any] | None:
        return self.client_steps.get(step_id)

    def _compile_rules(self, step: Step) -> tuple[tuple[Condition | None, str], ...]:
        compiled = []
        for number, rule in enumerate(step.next):
            place = f"step {step.id}, next[{number}]"
            if rule.go != END and rule.go not in self.steps_by_id:
                raise ValueError(f"{place}: go to {rule.go!r}, but there is no such step")
            try:
                condition = None if rule.when is None else compile_condition(rule.when, frozenset(self.steps_by_id))
            except InvalidExpression as error:
                raise ValueError(f"{place}: when: {error}") from error
            compiled.append((condition, rule.go))
        return tuple(compiled)


def parse_survey(text: str, file: str) -> Survey:
    """Return the survey of a file.

    Args:
        text: YAML, or JSON if the name ends with ``.json``.

    Raises:
        SurveyFileError: with the place and the reason.
    """
    try:
        document = strict_json.decode(text) if file.endswith(".json") else read_yaml(text, file)
        strict_json.check(document, "the file")
    except InvalidJson as error:
        raise SurveyFileError(file, error.place, error.problem) from error
    if not isinstance(document, dict):
        raise SurveyFileError(file, "", "a survey file is one mapping with id, title, language and steps")
    return parse_definition(strict_json.encode(document), file)


def parse_definition(definition: str, name: str) -> Survey:
    """Return the survey of a definition in JSON.

    Raises:
        SurveyFileError: with the place and reason.
    """
    try:
        return Survey.model_validate_json(definition)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A misspelt field is also a missing one; its name is the better hint.
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        raise SurveyFileError(name, _place(first["loc"]), validation_message(first)) from error


def survey_json_schema() -> dict[str, Any]:
    """Return a survey file's JSON Schema, which can't check rules."""
    schema = Survey.model_json_schema(mode="validation")
    for step_type in STEP_TYPES.values():
        model = schema["$defs"][step_type.__name__]
        model["properties"]["type"]["description"] = model["description"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _place(location: tuple[int | str, ...]) -> str:
    """Return e.g. ``steps[3].options`` for pydantic's location, without the union's member."""
    place = ""
    for index, part in enumerate(location):
        if isinstance(part, int):
            place += f"[{part}]"
        elif not (index == 2 and part in STEP_TYPES):  # noqa: PLR2004 - steps, the index, the type
            place += f".{part}" if place else part
    return place
