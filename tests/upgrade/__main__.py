"""``make upgrade``: does a release go on, under participants, while the next one changes the schema and takes over?

A release of before (a revision of this repository) serves a database of its own schema. Participants answer all the
while through one address. Then, as docs/operations.md says: the new release's ``alembic upgrade head``, a server of the
new release beside the old one, the address moved over, the old one stopped. Afterwards the database must hold each
acknowledged answer once, and the report says how long the longest wait for an ack was in each part.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from app.client import SurveyClient
from app.sessions.service import open_store
from app.settings import Settings
from app.store.tables import session_history
from app.survey.state import END
from tests.chaos.clients import TIMES
from tests.conftest import ROOT, SURVEYS, Server
from tests.databases import ordinary_server
from tests.proxy import Proxy

PART_S = 5.0
"""Seconds that participants answer in each part, at least."""

ACK_S = 60.0
SURVEY = "phq9"

SURVEYS_VARIABLES = {"SURVEYS_DIR": str(SURVEYS), "STEPKEEP_SURVEYS_DIR": str(SURVEYS)}
"""Older releases read the name without the prefix."""


@dataclass
class Old(Server):
    """A server of the release of before, from its own source."""

    source: Path = field(default_factory=Path)

    def spawn(self) -> None:
        """Start its process in its source."""
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
    """People who answer, one question after the other, until they are asked to stop."""

    def __init__(self, origin: str, count: int) -> None:
        self.part = "before"
        self.longest_s: Counter[str] = Counter()
        self.acked: Counter[str] = Counter()
        self.failures: list[str] = []
        self._origin = origin
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._take, args=(f"p{number}",)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def in_part(self, part: str) -> None:
        """Let them answer for a while in this part."""
        self.part = part
        self._stop.wait(PART_S)

    def stop(self) -> None:
        """Let each end with an ack of what he answered last."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _take(self, user_id: str) -> None:
        with SurveyClient(self._origin, user_id, survey_id=SURVEY, timeouts=TIMES) as client:
            session = client.wait_until_online(ACK_S)["session"]
            while not self._stop.is_set():
                began, part, step = time.monotonic(), self.part, session["current_step"]
                try:
                    sent = client.restart() if step == END else client.answer(step, 0 if step != "Q10" else 1)
                    session = sent.result(timeout_s=ACK_S)["session"]
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                    self.failures.append(f"{user_id} at {step}: {type(error).__name__}: {error}")
                    return
                if step != END:
                    self.acked[user_id] += 1
                self.longest_s[part] = max(self.longest_s[part], time.monotonic() - began)


def main() -> None:
    """Run it and print what was found; exit code 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="make upgrade", description=__doc__)
    parser.add_argument("--old", required=True, help="a revision of this repository: what is upgraded from")
    parser.add_argument("--database", choices=("postgresql", "mysql"), default="postgresql")
    parser.add_argument("--participants", type=int, default=20)
    chosen = parser.parse_args()
    databases = ordinary_server(chosen.database)
    with tempfile.TemporaryDirectory() as folder:
        url = databases.create_database()
        try:
            lost = upgrade(chosen.old, url, Path(folder), chosen.participants)
        finally:
            databases.drop_database(url)
            databases.close()
    sys.exit(1 if lost else 0)


def upgrade(old: str, url: str, folder: Path, count: int) -> bool:
    """Do it all; return whether something was lost."""
    source = unpack(old, folder / "old")
    alembic(source, url)
    for name in ("before", "after"):
        (folder / name).mkdir()
    before = Old(folder / "before", database=url, source=source)
    after = Server(folder / "after", database=url)
    before.start()
    proxy = Proxy("127.0.0.1", before.port)
    people = Participants(f"http://127.0.0.1:{proxy.port}", count)
    try:
        people.in_part("old release, old schema")
        people.part = "the schema changes"
        alembic(ROOT, url)
        people.in_part("old release, new schema")
        after.start()
        people.in_part("both releases")
        proxy.lead_to(after.port)
        people.part = "the old one stops"
        before.terminate()
        people.in_part("new release")
    finally:
        people.stop()
        proxy.close()
        before.stop()
        after.stop()
    return report(people, url)


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - its output


def unpack(revision: str, folder: Path) -> Path:
    """Return the folder with the source of a revision."""
    archive = folder.with_suffix(".tar")
    subprocess.run(["git", "archive", "--output", archive, revision], cwd=ROOT, check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def alembic(source: Path, url: str) -> None:
    """Bring the database to the newest schema of this source."""
    environment = {**os.environ, "DATABASE_URL": url, **SURVEYS_VARIABLES}
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=source, env=environment, check=True)


def report(people: Participants, url: str) -> bool:
    """Print what was found; return whether an acknowledged answer is missing or there twice."""
    store = open_store(Settings(database_url=url, surveys_dir=SURVEYS, environment="development"))
    answered = select(session_history.c.user_id).where(session_history.c.action == "answered")
    stored = Counter(store.run_read(lambda connection: list(connection.execute(answered).scalars())))
    store.close()
    for part, longest_s in people.longest_s.items():
        tell(f"{part:28} longest wait for an ack {longest_s * 1000:7.0f} ms")
    for failure in people.failures:
        tell(failure)
    wrong = {user: (count, stored[user]) for user, count in people.acked.items() if stored[user] != count}
    tell(f"{people.acked.total()} answers acknowledged, {stored.total()} stored; {len(wrong)} participants differ")
    return bool(wrong or people.failures)


if __name__ == "__main__":
    main()
