"""What commands do while the database accepts no writes: they read, and say that the audit log lacks it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.store.engine import normalise_url
from tests.cli.shell import Operator, make_surveys
from tests.conftest import ROOT, Servers
from tests.forked import run_module

READING = (
    ("sessions", "list"),
    ("sessions", "show", "user1"),
    ("sessions", "export", "user1"),
    ("backup", "create", "{folder}/all.zip"),
    ("export", "phq9", "--output", "{folder}/all.csv"),
    ("report", "phq9", "--output", "{folder}/all.html"),
)
WRITING = (("sessions", "erase", "user1", "--yes"), ("api-keys", "create", "--name", "x", "--scope", "export"))

NO_AUDIT = "Warning: this is not in the audit log. The database accepts no writes"

FULL_DISK = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$1" -c "$2" "$0" "$3"'

ON_FULL_DISK = """
import json, sys
from pathlib import Path
from app.database import Database
from app.sessions import open_store
from app.settings import Settings
from tests.cli.shell import Operator, make_surveys
from tests.cli.test_unwritable import READING, WRITING
disk, out = map(Path, sys.argv[1:])
operator = Operator(f"sqlite:///{disk / 's.db'}", make_surveys(out))
settings = Settings(database_url=f"sqlite:///{disk / 's.db'}", surveys_dir=out / "surveys")
earlier = open_store(settings)
Database(earlier).save_session("user1", "Q1", {}, [], survey_id="phq9")
earlier.close()
store = open_store(settings)  # a server is running
with (disk / "fill").open("wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)) > 0:
            pass
    except OSError:
        pass
done = [operator.run(*(part.format(folder=out) for part in command)) for command in (*READING, *WRITING)]
print(json.dumps([[one.returncode, one.stdout, one.stderr] for one in done]))
"""


def begin(operator: Operator) -> None:
    """Begin a session, in another process."""
    code = "from app.database import get_database; get_database().save_session('user1', 'Q1', {}, [], survey_id='phq9')"
    environment = {**operator.environment, "STEPKEEP_ENVIRONMENT": "development"}
    done = run_module(["-c", code], environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_commands_read_on_a_full_disk_and_say_what_the_audit_log_lacks(tmp_path: Path) -> None:
    """Those that have to write say that the disk is full."""
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    out.mkdir()
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", FULL_DISK, str(disk), sys.executable, ON_FULL_DISK, str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr and not done.stdout:
        pytest.skip(done.stderr)
    assert done.stdout, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    check(results, "its disk is full. Free some space", out)


def check(results: list[Any], words: str, out: Path) -> None:
    for command, (code, _, err) in zip(READING, results, strict=False):
        assert code == 0, (command, err)
        assert NO_AUDIT in err, command
        assert words in err, command
    for command, (code, stdout, err) in zip(WRITING, results[len(READING) :], strict=True):
        is_journal = "No space left on device" in err  # which an erasure writes first
        assert (code, stdout) == (1 if is_journal else 4, ""), (command, err)
        assert words in err or is_journal, command
        assert "Traceback" not in err
    assert {"all.zip", "all.csv", "all.html"} <= {path.name for path in out.iterdir()}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["postgresql"])
def test_commands_read_a_read_only_server_and_say_what_the_audit_log_lacks(
    servers: Servers, kind: str, tmp_path: Path
) -> None:
    """As a hot standby, which shows the same setting."""
    database = servers(kind)
    url = database.create_migrated()
    try:
        operator = Operator(url, make_surveys(tmp_path))
        begin(operator)
        database._run(f"ALTER DATABASE {normalise_url(url).database} SET default_transaction_read_only = on")
        commands = [tuple(part.format(folder=tmp_path) for part in command) for command in (*READING, *WRITING)]
        done = [operator.run_process(*command) for command in commands]
        results = [(one.returncode, one.stdout, one.stderr) for one in done]
        check(results, "it is read-only", tmp_path)
    finally:
        database.drop_database(url)
