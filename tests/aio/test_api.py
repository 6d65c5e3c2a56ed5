"""The Python API for asyncio: the functions and errors of the blocking one, on several loops at once."""

import asyncio
import contextvars
import inspect
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import make_url

from app.aio import AsyncDatabase, AsyncSessionStore
from app.database import Database
from app.errors import (
    DatabaseUnavailable,
    InvalidInput,
    MessageIdReused,
    NoSuchSession,
    NoSuchSurvey,
    VersionConflict,
)
from app.observability import tracing
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Answer, Note
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed, Rejected
from tests.aio.conftest import ADA, Run, save
from tests.asynchronous import run
from tests.conftest import ROOT, SERVER_KINDS, SURVEYS, NewStore, Servers
from tests.proxy import Proxy


def test_async_database_has_the_functions_of_the_blocking_one() -> None:
    """With the same arguments and results."""

    def functions(kind: type) -> dict[str, str]:
        members = inspect.getmembers(kind, lambda member: inspect.isfunction(member) and member.__name__[0] != "_")
        return {name: str(inspect.signature(function)) for name, function in members}

    assert functions(AsyncDatabase) == functions(Database)
    assert all(inspect.iscoroutinefunction(getattr(AsyncDatabase, name)) for name in functions(Database))


def test_functions_give_what_the_blocking_ones_give(store: SessionStore) -> None:
    """On each database and loop."""
    blocking, db = Database(store), AsyncDatabase(Database(store))

    async def main() -> None:
        assert await db.load_session("ann") is None
        assert await db.update_session_state("ann", current_step="S2") is False
        assert await db.add_history_entry("ann", "called") is False
        assert await db.save_session("ann", "S1", {"a": 1}, ["S0"], True, {"ward": 3}) is True
        assert await db.update_session_state("ann", current_step="S2", step_history=["S0", "S1"]) is True
        assert await db.add_history_entry("ann", "called", step="S2", answer="later") is True
        assert await db.save_session("ben", "S1", {}, [], survey_id="visit") is True
        assert await db.load_session("ann") == blocking.load_session("ann")
        assert (await db.load_session("ann") or {})["step_history"] == ["S0", "S1"]
        assert await db.get_session_history("ann", 2) == blocking.get_session_history("ann", 2)
        assert await db.list_sessions() == blocking.list_sessions()
        assert [session["user_id"] for session in await db.list_sessions(survey_id="visit")] == ["ben"]
        with pytest.raises(InvalidInput, match="answers"):
            await db.save_session("ann", "S1", {"when": object()}, [])
        with pytest.raises(InvalidInput, match="limit"):
            await db.list_sessions(0)
        assert await db.delete_session("ann") is True
        assert await db.delete_session("ann") is False

    run(main())


def test_session_is_begun_answered_and_read(run_on_each: Run, aio: AsyncSessionStore) -> None:
    """Under the survey's rules."""

    async def main() -> None:
        assert await aio.load(ADA) is None
        snapshot, existed = await aio.get_or_create(ADA, is_audio_mode=True)
        assert (snapshot.state.current_step, snapshot.state.is_audio_mode, existed) == ("Q1", True, False)
        assert (await aio.get_or_create(ADA))[1] is True
        result = await aio.submit(ADA, Answer(at=aio.now(), message_id="one", step="Q1", value=2))
        assert isinstance(result, Committed)
        assert (result.version, result.duplicate) == (2, False)
        again = await aio.submit(ADA, Answer(at=aio.now(), message_id="one", step="Q1", value=2))
        assert isinstance(again, Committed)
        assert (again.version, again.duplicate) == (2, True)
        with pytest.raises(MessageIdReused):
            await aio.submit(ADA, Answer(at=aio.now(), message_id="one", step="Q1", value=3))
        rejected = await aio.submit(ADA, Answer(at=aio.now(), step="Q2", value=9))
        assert isinstance(rejected, Rejected)
        assert rejected.rejection.code == "invalid_answer"
        assert [entry.version for entry in await aio.history(ADA, newest_first=True)] == [2, 1]
        first = await aio.run(aio.sync.queries.at_version, ADA, version=1)
        assert first.state.answers == {}

    run_on_each(main())


def test_errors_are_those_of_the_blocking_functions(aio: AsyncSessionStore) -> None:
    async def main() -> None:
        with pytest.raises(NoSuchSurvey):
            await aio.get_or_create(SessionKey("none", "ada"))
        with pytest.raises(NoSuchSession):
            await aio.submit_or_raise(ADA, Note(at=aio.now(), action="called", step=None, answer=None))
        await aio.submit_or_raise(ADA, save(aio))
        with pytest.raises(VersionConflict):
            await aio.submit_or_raise(
                ADA, Note(at=aio.now(), expected_version=7, action="called", step=None, answer=None)
            )

    run(main())


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_outage_is_unavailable_until_it_ends(kind: str, servers: Servers, new_store: NewStore) -> None:
    """As in the blocking functions, for turns and reads."""
    url = make_url(servers(kind).create_migrated())
    proxy = Proxy(url.host or "127.0.0.1", url.port or 0)
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    aio = AsyncSessionStore(new_store(Settings(database_url=through, surveys_dir=SURVEYS)))

    async def main() -> None:
        command = save(aio, 1, "the id")
        proxy.stop_accepting()
        proxy.cut_all()
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await aio.submit(ADA, command)
            with pytest.raises(DatabaseUnavailable):
                await aio.load(ADA)
        proxy.heal()
        assert (await aio.submit(ADA, command)).version == 1
        assert len(await aio.history(ADA)) == 1

    run(main())
    proxy.close()


def test_several_loops_share_a_store(aio: AsyncSessionStore) -> None:
    """Each in its thread, beside blocking callers."""
    results: list[Any] = []

    async def main(name: str) -> None:
        keys = [SessionKey("phq9", f"{name}{number}") for number in range(30)]
        results.extend(await asyncio.gather(*(aio.get_or_create(key) for key in keys)))
        results.extend(await asyncio.gather(*(aio.load(key) for key in keys)))

    def block() -> None:
        results.extend(aio.sync.turns.submit(SessionKey("phq9", f"b{number}"), save(aio)) for number in range(30))

    threads = [threading.Thread(target=lambda name=name: run(main(name))) for name in "uvw"]
    threads.append(threading.Thread(target=block))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 * 60 + 30
    assert None not in results


def test_context_variables_reach_blocking_calls(aio: AsyncSessionStore) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def main() -> None:
        variable.set("the task's")
        assert await aio.run(variable.get) == "the task's"
        assert await aio.run(threading.get_ident) != threading.get_ident()

    run(main())


def test_batch_is_linked_to_the_spans_of_its_tasks(aio: AsyncSessionStore) -> None:
    exporter = InMemorySpanExporter()
    tracing.start(exporter)
    assert tracing._active is not None

    async def call(user_id: str) -> None:
        with tracing.span("caller"):
            await aio.submit(SessionKey("phq9", user_id), save(aio))

    async def main() -> None:
        await asyncio.gather(call("ann"), call("ben"))

    try:
        run(main())
    finally:
        tracing._active.provider.shutdown()
        tracing._active = None
    spans = exporter.get_finished_spans()
    callers = {span.context.span_id for span in spans if span.name == "caller" and span.context}
    linked = {link.context.span_id for span in spans if span.name == "batch" for link in span.links}
    assert (len(callers), linked) == (2, callers)


PROGRAM = """
import asyncio
import database
from app.aio import get_database

async def main():
    db = await get_database()
    await db.save_session("ann", "S1", {"a": 1}, [])
    blocking = database.get_database()
    print((await get_database()).store.sync is blocking.store, blocking.load_session("ann")["answers"])
    await db.close()
    async with await get_database() as reopened:
        print(reopened.store.sync is blocking.store, (await reopened.load_session("ann"))["answers"])

asyncio.run(main())
"""


def test_get_database_is_the_one_of_the_process(tmp_path: Path) -> None:
    """Also of its blocking code; once closed, the next call opens it again."""
    environment = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout.splitlines(), done.stderr) == (["True {'a': 1}", "False {'a': 1}"], "")
