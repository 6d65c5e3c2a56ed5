"""Steps as clients get them."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from .markdown import MarkdownText
from .types import PageStep, Step

RULES: dict[str, Any] = {
    "next": True,
    "show_if": True,
    "check": True,
    "code": True,
    "options": {"__all__": {"show_if", "code"}},
    "rows": {"__all__": {"code"}},
}
"""Fields of steps that clients do not get."""

_RULES_OF_PAGES = {**RULES, "fields": {"__all__": {name: rule for name, rule in RULES.items() if name != "show_if"}}}
"""A field has ``show_if`` where it reads others of the page, so that the client decides; else it is removed before."""


def client_form(step: Step) -> dict[str, Any]:
    rules = _RULES_OF_PAGES if isinstance(step, PageStep) else RULES
    return with_html(step.model_dump(mode="json", exclude=rules), step)


class ClientSteps(Mapping[str, Mapping[str, Any]]):
    """Steps by id, each written out when it is first asked for. Safe from any thread."""

    __slots__ = ("_forms", "_steps")

    def __init__(self, steps: Mapping[str, Step]) -> None:
        self._steps = steps
        self._forms: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, step_id: str) -> Mapping[str, Any]:
        form = self._forms.get(step_id)
        if form is None:
            form = self._forms[step_id] = client_form(self._steps[step_id])
        return form

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


_PLAIN = frozenset({"audio", "placeholder"})  # texts that are not shown as HTML


def with_html(dumped: dict[str, Any], model: BaseModel) -> dict[str, Any]:
    """Return a dumped step with the HTML of its texts, by field, in ``html``."""
    fields = vars(model)
    html = {
        name: value.html for name, value in fields.items() if isinstance(value, MarkdownText) and name not in _PLAIN
    }
    if not html:
        return dumped
    parts: dict[str, Any] = {
        name: [with_html(*pair) for pair in zip(dumped[name], fields[name], strict=True)]
        for name in ("options", "rows", "fields")
        if name in dumped
    }
    return {**dumped, **parts, "html": html}
