"""A survey's figures: who came, where they stopped, how long it took, what they answered.

Counted over sessions as they are now; those that were set aside are in no figure. In what follows:

* An **event** is what a participant, or a program for him, did: started, restarted, answered, went_back, went_to,
  saved, drafted, mode_set. What others noted, and that a session expired, is no event here. Events are in the order of
  their versions; one without a time has that of the event before it, and where there is none, no gap is beside it.
* The **walk** of a session is its last one: from its last ``started`` or ``restarted`` on, from its first event where
  it has neither. Figures of steps and durations are of walks, so that a restart begins them anew.
* A **gap** lies between two events that follow each other in a session: the time that passed, never below 0. It is a
  **pause** where it is longer than PAUSE_S; of a pause nobody knows how long the participant was there, so it is no
  time of a step: he was away.
* A **median** and a **p90** are quantiles with linear interpolation: of n sorted values, the one at (n - 1) * 0.5 or
  0.9, counted from 0, or between the two beside that. Of none they are null.

=====================  ================================================================================================
sessions.started       sessions
sessions.completed     those whose status is completed
sessions.expired       those whose status is expired, or whose time was over when the figures were computed
sessions.in_progress   the rest
completion_rate        completed / started; null where none started (so for modes and revisions)
unread                 sessions whose answers can't be opened or read; they are in no ``answers``, and in all else
duration_s             of completed sessions whose time of completion is known: from the walk's first event to it
active_s               the same, but of the gaps up to then only those that are no pauses
resumed.returns        pauses, in all walks; ``away_s`` is how long they were
resumed.sessions       sessions with a pause; ``share`` is of all sessions
modes                  sessions by the mode that they are in now; ``answers`` are ``answered`` events of their walks
days                   sessions by the day (UTC) on which they began, and on which they were completed; days without any
                       between them are there too, where the whole is no longer than DAYS_FILLED
revisions              sessions by the revision that they are pinned to
step.reached           sessions whose walk came to the step: it is named by an event of the walk, or lies on the route
step.answered          sessions whose walk has an ``answered`` of the step, or whose route goes on after it
step.left_here         sessions that stand at the step and are not completed, whether they will go on or not
step.drop_off          left_here / reached
step.edits             ``answered`` of the step beyond the first, added up over walks; ``edit_rate`` = edits / answered
step.backs             ``went_back`` that led to the step; ``back_rate`` = backs / reached
step.seconds           for each ``answered`` of the step that is not the first event of its walk: the gaps, without
                       pauses, since the event by which the participant came to where he was, which is the last before
                       it that is neither ``drafted`` nor ``mode_set``. The time before a step back counts for no step.
step.answers.count     sessions whose present answer to the step is not null; ``skipped``: whose answer is null
...distribution        choice, choices, boolean, scale: how many gave each answer, those that none gave too; ``share``
                       is of ``count`` (of choices they add up to more than 1). Options of older revisions follow the
                       newest's, and then, as ``null``, whatever is no answer of the step's. Dates: by year.
...numbers             number and scale; ten bins of equal width from the lowest to the highest, or one for each whole
                       number where they lie closer together
...lengths             text: characters
=====================  ================================================================================================

Steps come in the newest revision's order; then those that only older revisions have and walks came to, newest first;
then those that no revision has (of states that were saved whole), by name.

The database is read a part at a time (``collecting.py``), each part at its own moment: what is answered meanwhile may
be counted in one figure and not yet in another.
"""

from .cache import SharedFigures
from .collect import PAUSE_S
from .filters import Filters
from .summary import DAYS_FILLED, figures_of

__all__ = ["DAYS_FILLED", "PAUSE_S", "Filters", "SharedFigures", "figures_of"]
