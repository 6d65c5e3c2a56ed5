"""``make upgrade``: upgrade a server without downtime while participants answer.

An older revision of this repository serves a database with its schema. Participants answer through a proxy. Then, as
in docs/operations.md: the new release's ``alembic upgrade head``, a server of the new release beside the old one, the
proxy switched over, the old one stopped. Afterwards the database must hold each acknowledged answer exactly once; the
report has the longest wait for an ack in each phase.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from app.client import SurveyClient
from app.sessions.service import open_store
from app.settings import Settings
from app.store.tables import session_history
from app.survey.state import END
from tests.chaos.clients import TIMEOUTS
from tests.conftest import ROOT, SURVEYS, Server
from tests.database_servers import ordinary_server
from tests.proxy import Proxy

PHASE_S = 5.0
"""Minimum duration of each phase."""

ACK_S = 60.0
SURVEY = "phq9"

SURVEYS_VARIABLES = {"SURVEYS_DIR": str(SURVEYS), "STEPKEEP_SURVEYS_DIR": str(SURVEYS)}
"""Older releases read the name without the prefix."""


@dataclass
class OldServer(Server):
    """A server of the old release, run from its source."""

    source: Path = field(default_factory=Path)

    def spawn(self) -> None:
        """Start the process in its source directory."""
        environment = {
            **os.environ,
            "PORT": str(self.port),
            "DATABASE_URL": self.database_url,
            **SURVEYS_VARIABLES,
        }
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.serve"],
                cwd=self.source,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


class Participants:
    """Participants who answer one question after the other until :meth:`stop`."""

    def __init__(self, origin: str, count: int) -> None:
        self.phase = "before"
        self.longest_s: defaultdict[str, float] = defaultdict(float)
        self.acked: Counter[str] = Counter()
        self.failures: list[str] = []
        self._origin = origin
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._participate, args=(f"p{number}",)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def run_phase(self, phase: str) -> None:
        """Let them answer for the duration of a phase."""
        self.phase = phase
        self._stop.wait(PHASE_S)

    def stop(self) -> None:
        """Stop after each participant's next ack."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _participate(self, user_id: str) -> None:
        with SurveyClient(self._origin, user_id, survey_id=SURVEY, timeouts=TIMEOUTS) as client:
            session = client.wait_until_online(ACK_S)["session"]
            while not self._stop.is_set():
                began, phase, step = time.monotonic(), self.phase, session["current_step"]
                try:
                    sent = client.restart() if step == END else client.answer(step, 0 if step != "Q10" else 1)
                    session = sent.result(timeout_s=ACK_S)["session"]
                except Exception as error:  # noqa: BLE001 - any exception is a finding
                    self.failures.append(f"{user_id} at {step}: {type(error).__name__}: {error}")
                    return
                if step != END:
                    self.acked[user_id] += 1
                self.longest_s[phase] = max(self.longest_s[phase], time.monotonic() - began)


def main() -> None:
    """Run the upgrade and print a report; exit with 1 if an answer was lost."""
    parser = argparse.ArgumentParser(prog="make upgrade", description=__doc__)
    parser.add_argument("--old", required=True, help="revision of this repository to upgrade from")
    parser.add_argument("--database", choices=("postgresql", "mysql"), default="postgresql")
    parser.add_argument("--participants", type=int, default=20)
    options = parser.parse_args()
    databases = ordinary_server(options.database)
    with tempfile.TemporaryDirectory() as folder:
        url = databases.create_empty()
        try:
            lost = upgrade(options.old, url, Path(folder), options.participants)
        finally:
            databases.drop_database(url)
            databases.close()
    sys.exit(1 if lost else 0)


def upgrade(old: str, url: str, folder: Path, count: int) -> bool:
    """Run all phases; return whether an answer was lost."""
    source = unpack(old, folder / "old")
    alembic(source, url)
    for name in ("before", "after"):
        (folder / name).mkdir()
    before = OldServer(folder / "before", database=url, source=source)
    after = Server(folder / "after", database=url)
    before.start()
    proxy = Proxy("127.0.0.1", before.port)
    participants = Participants(f"http://127.0.0.1:{proxy.port}", count)
    try:
        participants.run_phase("old release, old schema")
        participants.phase = "schema upgrade"
        alembic(ROOT, url)
        participants.run_phase("old release, new schema")
        after.start()
        participants.run_phase("both releases")
        proxy.lead_to(after.port)
        participants.phase = "old release stops"
        before.terminate()
        participants.run_phase("new release")
    finally:
        participants.stop()
        proxy.close()
        before.stop()
        after.stop()
    return report(participants, url)


def print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the program's output


def unpack(revision: str, folder: Path) -> Path:
    """Extract the source of a revision into a folder, and return the folder."""
    archive = folder.with_suffix(".tar")
    subprocess.run(["git", "archive", "--output", archive, revision], cwd=ROOT, check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def alembic(source: Path, url: str) -> None:
    """Upgrade the database to the newest schema of a source tree."""
    environment = {**os.environ, "DATABASE_URL": url, **SURVEYS_VARIABLES}
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=source, env=environment, check=True)


def report(participants: Participants, url: str) -> bool:
    """Print the report; return whether an acknowledged answer is missing or duplicated."""
    store = open_store(Settings(database_url=url, surveys_dir=SURVEYS, environment="development"))
    answered = select(session_history.c.user_id).where(session_history.c.action == "answered")
    stored = Counter(store.run_read(lambda connection: list(connection.execute(answered).scalars())))
    store.close()
    for phase, longest_s in participants.longest_s.items():
        print_line(f"{phase:28} longest wait for an ack {longest_s * 1000:7.0f} ms")
    for failure in participants.failures:
        print_line(failure)
    wrong = {user: (count, stored[user]) for user, count in participants.acked.items() if stored[user] != count}
    print_line(
        f"{participants.acked.total()} answers acknowledged, {stored.total()} stored; {len(wrong)} participants differ"
    )
    return bool(wrong or participants.failures)


if __name__ == "__main__":
    main()
