"""The steps of a survey over all its revisions: what is asked, and which answers there are to count."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...survey import Survey
from ...survey.types import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step as figures show it.

    Attributes:
        type: as in the survey file; None for a step that no revision has.
        labels: by answer, how it is called, where the answers can be listed; in the order in which they are shown.
    """

    step: str
    type: str | None = None
    prompt: str | None = None
    labels: dict[Value, str] = field(default_factory=dict)


Plan = dict[str, PlannedStep]
"""The steps by their ids, the newest revision's first."""


def plan_of(revisions: Sequence[Survey]) -> tuple[Plan, int]:
    """Return the steps of these revisions, newest first, and how many of them the newest has.

    A step that several revisions have is as in the newest of them; answers that only older ones offer follow, where
    they are of the same type.
    """
    plan: Plan = {}
    for survey in revisions:
        for step in survey.steps:
            known = plan.get(step.id)
            if known is None:
                plan[step.id] = PlannedStep(
                    step=step.id, type=step.type, prompt=step.prompt, labels=dict(step.labels())
                )
            elif known.type == step.type:
                for value, label in step.labels().items():
                    known.labels.setdefault(value, label)
    return plan, len(revisions[0].steps) if revisions else 0
