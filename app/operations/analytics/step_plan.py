"""The steps of a survey over all revisions, with the answers to count."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...survey import Survey
from ...survey.types import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step of a summary.

    Attributes:
        type: as in the survey file; None for a step that no revision has.
        labels: by answer, in display order; empty if the answers can't be listed.
    """

    step: str
    type: str | None = None
    prompt: str | None = None
    labels: dict[Value, str] = field(default_factory=dict)


StepPlan = dict[str, PlannedStep]
"""The steps by id, those of the newest revision first."""


def plan_steps(revisions: Sequence[Survey]) -> tuple[StepPlan, int]:
    """Return the steps of these revisions (newest first), and how many of them the newest revision has.

    A step has the properties of its newest revision; options of older revisions follow if the type is the same.
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
