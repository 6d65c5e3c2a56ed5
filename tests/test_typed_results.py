"""Results are typed: mypy and pyright find a misspelt key of a session, an event or a message, and no other fault."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import create_model

import app.aio
import app.client
from app.aio import AsyncDatabase, AsyncSessionStore
from app.client import AsyncPendingCommand, AsyncSurveyClient, PendingCommand, ServerMessage, SurveyClient
from app.core.session_dicts import EventDict, HistoryDict, SessionDict
from app.database import Database
from app.errors import StepkeepError
from app.settings import Settings
from app.survey import SessionKey
from app.web.ws.asyncapi import ServerMessage as SentMessage
from tests.conftest import ROOT, NewStore
from tests.databases import create_sqlite

PROGRAM = """
from app import Answer, Committed, HistoryDict, SessionDict, SessionKey, get_database, open_store, read_settings
from app.client import AckMessage, ServerMessage, SurveyClient

db = get_database()
session: SessionDict | None = db.load_session("ann")
assert session is not None
step: str = session["current_step"]
session["curent_step"]  # misspelt
names: list[str] = [listed["user_id"] for listed in db.list_sessions()]
[listed["userid"] for listed in db.list_sessions()]  # misspelt
entry: HistoryDict
for entry in db.get_session_history("ann"):
    print(entry["action"], entry["answer"])
    print(entry["acton"])  # misspelt

store = open_store(read_settings())
result = store.turns.submit(SessionKey("phq9", "ann"), Answer(at=store.clock(), step="Q1", value=2))
if isinstance(result, Committed):
    version: int = result.version
    print(result.snapshot.to_full_dict(store.clock())["updated_at"], result.snapshot.state.answers)
    print(result.snapshot.to_full_dict(store.clock())["updated"])  # misspelt
    print(result.verson)  # misspelt
else:
    print(result.rejection.code, result.rejection.message)
    print(result.rejection.reason)  # misspelt
for event in store.queries.history(SessionKey("phq9", "ann")):
    print(event.to_dict()["message_id"], event.to_dict()["timestamp"])
    print(event.to_dict()["messageid"])  # misspelt


def listen(message: ServerMessage) -> None:
    if message["type"] == "sync":
        print(message["session"]["answers"], message["version"])
        print(message["sesion"])  # misspelt


with SurveyClient("http://127.0.0.1:8000", "ann", listener=listen) as client:
    client.wait_until_online()["resumed"]
    client.wait_until_online()["resume"]  # misspelt
    ack: AckMessage = client.answer("Q1", 2).result()
    print(ack["session"]["answers"], ack["duplicate"])
    print(ack["session"]["answer"])  # misspelt
    if client.session is not None:
        print(client.session["draft"])
        print(client.session["drafts"])  # misspelt
"""
MISSPELT = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# misspelt")}


def lines_with_errors(lines: Iterable[str], pattern: str) -> set[int]:
    return {int(found[1]) for line in lines if (found := re.match(pattern, line))}


def mypy(program: Path) -> set[int]:
    # In the project's folder and with its options, which a cache is for: that of `make check` saves ten seconds of work.
    done = run("mypy", "--no-pretty", "--hide-error-context", str(program), folder=ROOT)
    return lines_with_errors(done.splitlines(), r".*program\.py:(\d+): error:")


def pyright(program: Path) -> set[int]:
    (program.parent / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "standard", "extraPaths": [str(ROOT)], "pythonVersion": "3.11"})
    )
    report = json.loads(run("basedpyright", "--outputjson", program.name, folder=program.parent))
    errors = [found for found in report["generalDiagnostics"] if found["severity"] == "error"]
    return {found["range"]["start"]["line"] + 1 for found in errors}


def run(checker: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", checker, *arguments],
        cwd=folder,
        env={"MYPYPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # it found faults
    return done.stdout


@pytest.mark.parametrize("check", [mypy, pytest.param(pyright, marks=pytest.mark.long)])
def test_checker_finds_each_misspelt_key_and_nothing_else(check: Any, tmp_path: Path) -> None:
    """In a program of an integrator that checks strictly."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert check(program) == MISSPELT


def test_sessions_and_events_have_exactly_the_typed_keys(tmp_path: Path, new_store: NewStore) -> None:
    """The types are what is returned, not only what is promised."""
    settings = Settings(database_url=create_sqlite(tmp_path / "test.db"), surveys_dir=ROOT / "surveys")
    database = Database(new_store(settings))
    database.save_session("ann", "S1", {"a": 1}, [], session_data={"ward": 3})
    session, (entry,) = database.load_session("ann"), database.get_session_history("ann")
    (event,) = database.store.queries.history(SessionKey("default", "ann"))
    for returned, declared in ((session, SessionDict), (entry, HistoryDict), (event.to_dict(), EventDict)):
        fields: dict[str, Any] = {name: (hint, ...) for name, hint in get_type_hints(declared).items()}
        create_model("Declared", __config__={"strict": True, "extra": "forbid"}, **fields).model_validate(returned)


def test_clients_message_types_have_the_servers_fields() -> None:
    """The client imports nothing of the server, so it has types of its own."""
    sent = {fields["type"].annotation: set(fields) for fields in (model.model_fields for model in SentMessage.__args__)}
    typed = {hints["type"]: set(hints) for hints in (message.__annotations__ for message in ServerMessage.__args__)}
    assert typed == sent


def types_of(*classes: type) -> set[type]:
    """Return the classes of this package that the public functions of some classes take and return."""
    functions = (function for each in classes for name, function in vars(each).items() if name[0] != "_")
    hints = (hint for each in filter(inspect.isfunction, functions) for hint in get_type_hints(each).values())
    return {
        found
        for hint in hints
        for found in classes_in(hint)
        if found.__module__.startswith("app.") and not issubclass(found, StepkeepError)
    }


def classes_in(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for part in get_args(hint):
        yield from chain.from_iterable(map(classes_in, part)) if isinstance(part, list) else classes_in(part)


@pytest.mark.parametrize(
    ("package", "classes"),
    [
        (app, (Database, AsyncDatabase, AsyncSessionStore)),
        (app.client, (SurveyClient, AsyncSurveyClient, PendingCommand, AsyncPendingCommand)),
    ],
)
def test_every_type_of_a_signature_is_exported(package: ModuleType, classes: tuple[type, ...]) -> None:
    """A program imports nothing from inside the package; errors are those of `app.errors`."""
    exported = {getattr(package, name) for name in package.__all__}
    assert {found.__name__ for found in types_of(*classes) - exported} == set()


def test_asyncio_exports_its_own_and_what_the_package_exports() -> None:
    """Under the same names."""
    own = {"AsyncDatabase", "AsyncSessionStore", "get_database", "open_store"}
    for name in set(app.aio.__all__) - own:
        assert getattr(app.aio, name) is getattr(app, name)
