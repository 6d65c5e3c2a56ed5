"""A survey's steps over all revisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...survey import Survey
from ...survey.types import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step of a summary.

    Attributes:
        type: None if no revision has it.
        labels: in display order; empty if answers can't be listed.
    """

    step: str
    type: str | None = None
    prompt: str | None = None
    labels: dict[Value, str] = field(default_factory=dict)


StepPlan = dict[str, PlannedStep]
"""By id, the newest revision's first."""


def plan_steps(revisions: Sequence[Survey]) -> tuple[StepPlan, int]:
    """Return the steps of revisions (newest first), and how many the newest has.

    Older revisions only add options, if the type is the same.
    """
    plan: StepPlan = {}
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
