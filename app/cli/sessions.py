"""``flask sessions``: the group of the commands that look at, mend and end participants' sessions.

Others add to it what is theirs: ``privacy.py`` and those of the operations.
"""

from flask.cli import AppGroup

sessions = AppGroup("sessions", help="Participants' sessions.")
