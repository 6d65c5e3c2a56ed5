"""oTree's production server, with a session whose participants p0, p1, ... have opened the first page.

``python serve.py PORT PARTICIPANTS``, in a copy of this folder: oTree keeps its SQLite database there.
"""
# ruff: noqa: E402 - oTree's modules are imported after setup()

import sys
from pathlib import Path

from otree import main as otree

Path("_static").mkdir()  # every project has this folder
otree.setup()

from otree.cli.prodserver1of2 import run_asgi_server
from otree.database import session_scope
from otree.models import Participant
from otree.session import create_session

SESSION = "bench"


def main(port: str, participants: int) -> None:
    """Begin the sessions, and serve them."""
    with session_scope():
        session = create_session("phq9", num_participants=participants)
        session.code = SESSION
        for number, participant in enumerate(Participant.objects_filter(session=session).order_by("id")):
            participant.code, participant._session_code, participant._index_in_pages = f"p{number}", SESSION, 1
    run_asgi_server("127.0.0.1", port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
