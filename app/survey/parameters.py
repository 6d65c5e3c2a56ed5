"""What is known of a participant before the first question."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ..core import strict_json
from ..core.formats import MAX_COMMAND_BYTES, validation_message
from ..errors import InvalidInput, InvalidJson
from .types import Step
from .types.choice import OptionItem, OptionsStep, require_plain
from .types.step import MAX_UNKNOWN_FIELDS, InvalidAnswer, StrictModel, is_absent

RESERVED = frozenset({"survey", "is_audio", "lang", "token"})
"""Names of query parameters that the page and the socket read themselves."""

MAX_PARAMETERS = 100
MAX_INVITATION_BYTES = 1000  # size limit of an invitation's parameters as JSON: they are part of its link

ParameterSource = Literal["url", "invitation", "api"]

_STEP: TypeAdapter[Step] = TypeAdapter(Step)
_NO_BOUND = Annotated[int | float | str | None, Field(exclude_if=is_absent)]


class Given(NamedTuple):
    """What a session is begun with, by where it comes from."""

    url: Mapping[str, Sequence[str]] = {}  # all values of each name in the address
    invitation: Mapping[str, Any] = {}  # signed into the link
    api: Mapping[str, Any] = {}  # sent by an integrator, whatever the parameters come from otherwise


class Parameter(StrictModel):
    """One parameter: its type with the rules of a step of this type, and where it comes from."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Annotated[
        Literal["text", "number", "choice", "boolean", "date", "time", "datetime", "month", "email", "phone"],
        Field(description="As of a step"),
    ]
    source: Annotated[
        ParameterSource,
        Field(
            alias="from",
            description=(
                "`url`: the address of the page or the socket, which participants can change; `invitation`: signed "
                "into the link; `api`: REST and Python"
            ),
        ),
    ]
    required: Annotated[
        bool | None,
        Field(
            description="`false`: may be missing, and is then null; default: `true` without a default",
            exclude_if=is_absent,
        ),
    ] = None
    default: Annotated[Any, Field(description="Value where none is given", exclude_if=is_absent)] = None
    options: Annotated[
        tuple[OptionItem, ...], Field(strict=False, max_length=1000, description="Of a choice", exclude_if=is_absent)
    ] = ()
    min: Annotated[_NO_BOUND, Field(description="Of a number or a time")] = None
    max: Annotated[_NO_BOUND, Field(description="Of a number or a time")] = None
    integer: Annotated[bool | None, Field(description="`true`: a whole number", exclude_if=is_absent)] = None
    decimals: Annotated[int | None, Field(description="Of a number", exclude_if=is_absent)] = None
    max_length: Annotated[int | None, Field(description="Of a text", exclude_if=is_absent)] = None
    pattern: Annotated[str | None, Field(description="Of a text", exclude_if=is_absent)] = None

    @model_validator(mode="after")
    def _has_rules_of_its_type(self) -> Self:
        try:
            step = self.step
        except ValidationError as error:
            raise ValueError(_why(error)) from None
        require_plain(self.options, "parameter")
        if step.computed:
            raise ValueError("the bounds of a parameter are values, not expressions")
        if self.default is not None and not step.accepts(self.default):
            raise ValueError("the default is none of the values that the parameter accepts")
        return self

    @cached_property
    def step(self) -> Step:
        rules = {name: getattr(self, name) for name in _RULES}
        rules = {name: value for name, value in rules.items() if not is_absent(value)}
        return _STEP.validate_python({"id": "P", "prompt": "P", "type": self.type, **rules})

    @property
    def stored_default(self) -> Any:  # noqa: ANN401 - any JSON
        return None if self.default is None else self.step.check_answer(self.default)

    @property
    def is_required(self) -> bool:
        return self.default is None if self.required is None else self.required

    def parse(self, text: str) -> object:
        if isinstance(self.step, OptionsStep):
            return next((value for value in self.step.values if str(value) == text), text)
        if self.type in {"number", "boolean"}:
            with suppress(InvalidJson):
                return strict_json.decode(text)
        return text


_RULES = ("options", "min", "max", "integer", "decimals", "max_length", "pattern")


def accept_parameters(parameters: Mapping[str, Parameter], given: Given) -> dict[str, Any]:
    """Return the values that a session begins with, by name; undeclared ones are ignored.

    Raises:
        InvalidInput: it names all that are wrong, repeated or missing; or all together are too long.
    """
    accepted, problems = _accept(parameters, given)
    if problems:
        raise InvalidInput(" ".join(problems))
    return accepted


def accept_invitation(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that an invitation carries, by name.

    Raises:
        InvalidInput: as :func:`accept_parameters`, and if one is undeclared or comes from elsewhere.
    """
    own = {name: one for name, one in parameters.items() if one.source == "invitation"}
    accepted, problems = _accept(own, Given(invitation=values))
    unknown = sorted(values.keys() - own.keys())[:MAX_UNKNOWN_FIELDS]
    if unknown:
        elsewhere = [f" {name} has `from: {parameters[name].source}`." for name in unknown if name in parameters]
        what = ", ".join(name[:64] for name in unknown)
        problems.append(
            f"The survey's invitations have no {_noun(unknown)} {what}. They have {', '.join(own) or 'none'}."
            + "".join(elsewhere)
        )
    if problems:
        raise InvalidInput(" ".join(problems))
    carried = {name: accepted[name] for name in own if name in values}
    if _size_bytes(carried) > MAX_INVITATION_BYTES:
        raise InvalidInput(f"The parameters of an invitation take at most {MAX_INVITATION_BYTES} bytes.")
    return carried


def _accept(parameters: Mapping[str, Parameter], given: Given) -> tuple[dict[str, Any], list[str]]:
    accepted: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    missing: list[str] = []
    problems: list[str] = []
    for name, parameter in parameters.items():
        try:
            value = _given(name, parameter, given)
            accepted[name] = _accepted(name, parameter, value)
        except InvalidInput as error:
            problems.append(error.message)
            continue
        if not parameter.step.is_empty(value):
            sent[name] = accepted[name]
        elif parameter.is_required:
            missing.append(name)
    if missing:
        problems.insert(0, f"The {_noun(missing)} {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.")
    if _size_bytes(sent) > MAX_COMMAND_BYTES:
        problems.append(f"The parameters of a session take at most {MAX_COMMAND_BYTES} bytes as JSON; send less.")
    return accepted, problems


def _noun(names: Sequence[str]) -> str:
    return "parameter" if len(names) == 1 else "parameters"


def _size_bytes(values: Mapping[str, Any]) -> int:
    return len(strict_json.encode(values).encode())


def parse_parameters(parameters: Mapping[str, Parameter], texts: Mapping[str, str]) -> dict[str, object]:
    """Return the values of texts by name; they may still be invalid."""
    return {name: parameters[name].parse(text) if name in parameters else text for name, text in texts.items()}


def _accepted(name: str, parameter: Parameter, value: object) -> Any:  # noqa: ANN401 - any JSON
    if parameter.step.is_empty(value):
        return parameter.stored_default
    try:
        strict_json.check(value)
        return parameter.step.check_answer(value)
    except InvalidJson as error:
        why = f"It is {error.problem}."
    except InvalidAnswer as error:
        why = str(error).replace("The answer", "It", 1)
    raise InvalidInput(f"The parameter {name} is invalid. {why}")


def _given(name: str, parameter: Parameter, given: Given) -> object:
    if name in given.api:
        return given.api[name]
    if parameter.source == "invitation":
        return given.invitation.get(name)
    texts = given.url.get(name, ()) if parameter.source == "url" else ()
    if len(texts) > 1:
        raise InvalidInput(f"The parameter {name} is repeated.")
    return parameter.parse(texts[0]) if any(texts) else None


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = first["loc"][-1] if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"a parameter of this type has no {place}"
    if first["type"] == "missing":
        return f"the field {place} is required"
    return f"{place}: {validation_message(first)}" if place else validation_message(first)
