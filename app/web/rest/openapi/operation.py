"""Declarations of REST operations."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import flask
from pydantic import BaseModel

from ....errors import InvalidInput
from .parameters import Parameter, Schema
from .strict_json_schema import REFERENCE

View = TypeVar("View", bound=Callable[..., Any])

Models = type[BaseModel] | tuple[type[BaseModel], ...]

COMMAND = "Command"
"""A WebSocket command, which is no single model."""

BASIC = (400, 500)
PUBLIC = (*BASIC, 429, 503)
PROTECTED = (*PUBLIC, 401, 403)
"""Error statuses: without credentials, with optional, with required ones."""

_ANONYMOUS = "anonymous"

Security = Mapping[str, str | None]
"""Alternative credentials, with an API key's scope."""


def integrator(scope: str) -> Security:
    """Return integrators' credentials."""
    return {"ApiKey": scope, "SignIn": scope}


def own_session(scope: str) -> Security:
    """Return the credentials of integrators and the participant."""
    return {"ApiKey": scope, "ResumeToken": None, "ResumeCookie": None, "SignIn": scope}


def anonymous(credentials: Security) -> Security:
    """Make credentials optional."""
    return {_ANONYMOUS: None, **credentials}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The declaration of an operation.

    Attributes:
        errors: statuses of problem details.
        security: empty if no credentials are read.
        files: alternative responses with status 200, by media type.
    """

    summary: str
    responses: Mapping[int, Models] = field(default_factory=dict)
    errors: tuple[int, ...]
    description: str | None = None
    security: Security = field(default_factory=dict)
    parameters: tuple[Parameter[Any], ...] = ()
    headers: Mapping[str, Schema] = field(default_factory=dict)
    media_type: str = "application/json"
    files: Mapping[str, Schema] = field(default_factory=dict)
    request: type[BaseModel] | str | None = None
    is_request_optional: bool = False
    example: object = None

    def require_known_query(self) -> None:
        """Raise InvalidInput for an undeclared parameter: a misspelt filter would select all."""
        known = [parameter.name for parameter in self.parameters if parameter.location == "query"]
        unknown = sorted(flask.request.args.keys() - set(known))
        if unknown:
            hint = f"; there are {', '.join(known)}" if known else ""
            raise InvalidInput(f"there is no parameter {unknown[0][:100]!r} here{hint}")

    def models(self) -> Iterator[type[BaseModel]]:
        if isinstance(self.request, type):
            yield self.request
        for models in self.responses.values():
            yield from models if isinstance(models, tuple) else (models,)

    def document(self, operation_id: str) -> Schema:
        responses = {str(status): self._response(status, models) for status, models in self.responses.items()}
        if self.files:
            responses["200"] = self._with_files(responses.get("200", {}))
        errors = {str(status): {"$ref": f"#/components/responses/{status}"} for status in self.errors}
        document: Schema = {
            "operationId": operation_id,
            "summary": self.summary,
            "parameters": [parameter.document() for parameter in self.parameters],
            "responses": {**responses, **errors},
            "security": [_security(name, scope) for name, scope in self.security.items()],
        }
        if self.description is not None:
            document["description"] = self.description
        if self.request is not None:
            content: Schema = {"schema": _reference(self.request)}
            if self.example is not None:
                content["example"] = self.example
            document["requestBody"] = {
                "required": not self.is_request_optional,
                "content": {"application/json": content},
            }
        return document

    def _with_files(self, response: Schema) -> Schema:
        headers = {"headers": dict(self.headers)} if self.headers else {}
        content = {**response.get("content", {}), **self.files}
        return {"description": "Success", **response, **headers, "content": content}

    def _response(self, status: int, models: Models) -> Schema:
        schemas = [_reference(model) for model in (models if isinstance(models, tuple) else (models,))]
        response: Schema = {
            "description": "Created" if status == 201 else "Success",  # noqa: PLR2004 - an HTTP status
            "content": {self.media_type: {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}},
        }
        if self.headers:
            response["headers"] = dict(self.headers)
        return response


class Resource(flask.Blueprint):
    """A blueprint whose views declare operations."""

    def __init__(self, name: str, import_name: str) -> None:
        super().__init__(name, import_name)
        self.operations: dict[tuple[str, str], Operation] = {}

    def operation(self, method: str, rule: str, declaration: Operation) -> Callable[[View], View]:

        def register(view: View) -> View:
            self.operations[method, rule] = declaration
            self.add_url_rule(rule, view_func=view, methods=[method])
            return view

        return register


def current_operation() -> Operation:
    """Return the requested view's declaration."""
    request = flask.request
    resource = flask.current_app.blueprints[request.blueprint or ""]
    if not isinstance(resource, Resource) or request.url_rule is None:
        raise TypeError(f"{request.endpoint} declares no operation")
    method = "GET" if request.method == "HEAD" else request.method
    return resource.operations[method, request.url_rule.rule]


def _security(name: str, scope: str | None) -> Schema:
    return {} if name == _ANONYMOUS else {name: [] if scope is None else [scope]}


def _reference(model: type[BaseModel] | str) -> Schema:
    return {"$ref": REFERENCE.format(model=model if isinstance(model, str) else model.__name__)}
