"""Declarations of REST operations."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar

import flask
from pydantic import BaseModel

from ....core.formats import MAX_COMMAND_BYTES
from ....errors import InvalidInput
from .parameters import SURVEY_PARAMETERS, Parameter, Schema
from .schemas import REFERENCE, example_of

View = TypeVar("View", bound=Callable[..., Any])

COMMAND = "Command"  # of the WebSocket, which is no single model

# Statuses of errors: without credentials, with optional ones, with required ones.
BASIC = (400, 500)
PUBLIC = (*BASIC, 429, 503)
PROTECTED = (*PUBLIC, 401, 403, 422)

_ANONYMOUS = "anonymous"
Security = Mapping[str, str | None]  # alternative credentials, with an API key's scope


def integrator(scope: str) -> Security:
    return {"ApiKey": scope, "SignIn": scope}


def own_session(scope: str) -> Security:
    return {"ApiKey": scope, "ResumeToken": None, "ResumeCookie": None, "SignIn": scope}


def anonymous(credentials: Security) -> Security:
    return {_ANONYMOUS: None, **credentials}


class Resource(flask.Blueprint):
    """A blueprint whose views declare operations."""

    def __init__(self, name: str, import_name: str) -> None:
        super().__init__(name, import_name)
        self.operations: dict[str, Operation] = {}


@dataclass(slots=True)
class Operation:
    """Decorates a view with its declaration; the view's docstring is the summary and description.

    Attributes:
        route: method and rule.
        security: empty if no credentials are read.
        statuses: of the response.
        errors: statuses of problem details; 404, 413 and 415 are added by rule and request.
        files: other contents of the response, by media type.
    """

    resource: Resource
    route: str
    response: type[BaseModel] | None = None
    security: Security = field(default_factory=dict)
    _: KW_ONLY
    statuses: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = PROTECTED
    parameters: tuple[Parameter[Any], ...] = ()
    headers: Mapping[str, Schema] = field(default_factory=dict)
    files: Mapping[str, Schema] = field(default_factory=dict)
    request: type[BaseModel] | str | None = None
    max_body_bytes: int = MAX_COMMAND_BYTES
    is_request_optional: bool = False
    example: object = None
    _docstring: str = field(default="", init=False)

    def __call__(self, view: View) -> View:
        method, rule = self.route.split()
        self._docstring = inspect.getdoc(view) or ""
        self.resource.operations[self.route] = self
        self.resource.add_url_rule(rule, view_func=view, methods=[method])
        return view

    def require_known_query(self) -> None:
        """Raise InvalidInput for an undeclared parameter: a misspelt filter would select all."""
        if SURVEY_PARAMETERS in self.parameters:  # any name may be one of the survey's
            return
        known = [parameter.name for parameter in self.parameters if parameter.location == "query"]
        unknown = sorted(flask.request.args.keys() - set(known))
        if unknown:
            known_names = ", ".join(known) or "none"
            raise InvalidInput(f"There is no parameter {unknown[0][:100]!r} here. Known parameters: {known_names}.")

    def document(self, operation_id: str, schemas: Schema) -> Schema:
        """Return the operation, with examples made from the schemas that it names."""
        summary, _, description = self._docstring.partition("\n\n")
        statuses = [*self.errors, *([404] if "<" in self.route else []), *([413, 415] if self.request else [])]
        document: Schema = {
            "operationId": operation_id,
            "summary": summary.removesuffix("."),
            "parameters": [parameter.document() for parameter in self.parameters],
            "responses": {
                **{str(status): self._success(status, schemas) for status in self.statuses},
                **{str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses},
            },
            "security": [
                {} if name == _ANONYMOUS else {name: [] if scope is None else [scope]}
                for name, scope in self.security.items()
            ],
        }
        if description:
            document["description"] = " ".join(description.split())
        if self.request is not None:
            content: Schema = {"schema": _reference(self.request), "example": self.example}
            document["requestBody"] = {
                "description": f"At most {self.max_body_bytes // 1024} KiB.",
                "required": not self.is_request_optional,
                "content": {"application/json": content},
            }
        return document

    def _success(self, status: int, schemas: Schema) -> Schema:
        content: Schema = {}
        if self.response is not None:
            schema = _reference(self.response)
            content["application/json"] = {"schema": schema, "example": example_of(schema, schemas)}
        return {
            "description": "Created" if status == 201 else "Success",  # noqa: PLR2004 - an HTTP status
            "headers": dict(self.headers),
            "content": {**content, **self.files},
        }


def current_operation() -> Operation:
    request = flask.request
    resource = flask.current_app.blueprints[request.blueprint or ""]
    if not isinstance(resource, Resource) or request.url_rule is None:
        raise TypeError(f"{request.endpoint} declares no operation")
    method = "GET" if request.method == "HEAD" else request.method
    return resource.operations[f"{method} {request.url_rule.rule}"]


def _reference(model: type[BaseModel] | str) -> Schema:
    return {"$ref": REFERENCE.format(model=model if isinstance(model, str) else model.__name__)}
