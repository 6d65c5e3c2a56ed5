"""The context of sessions (language, ending): stored, encrypted, rotated, replayed, blanked and copied."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.operations.backup.files import create_backup
from app.operations.backup.restore import restore_backup
from app.operations.integrity.verify import verify_sessions
from app.operations.maintenance.key_rotation import rotate_keys
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import retention
from app.store.retention import StaleSession
from app.survey.commands import Answer, Restart, SetLanguage
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore
from tests.store.encrypted import NEW, OLD, keys_of, submit

KEY = SessionKey("thanks", "ann")
PLAIN = SessionKey("plain", "ann")
SURVEYS = {
    "thanks": "id: thanks\ntitle: Thanks\nlanguage: en\nlanguages: [en, de]\nsteps: [{id: a, type: info, prompt: p}]\n"
    "end: [{title: {en: Bye, de: Tschüss}}]\n",
    "plain": "id: plain\ntitle: Plain\nlanguage: en\nsteps: [{id: a, type: info, prompt: p}]\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "surveys"
    folder.mkdir()
    for name, text in SURVEYS.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def fill(store: SessionStore) -> None:
    """Complete a session in German, and one of a survey without languages."""
    for key in (KEY, PLAIN):
        store.turns.get_or_create(key, is_audio_mode=False, languages=("de",))
        submit(store, Answer(at=store.clock(), step="a", value=None), key=key)


def contexts(engine: Engine) -> dict[str, str | None]:
    """Return the stored values by survey."""
    with engine.connect() as connection:
        return dict(connection.exec_driver_sql("SELECT survey_id, context FROM sessions").all())  # type: ignore[arg-type]


def test_context_is_stored_only_for_surveys_that_need_it(
    settings: Settings, new_store: NewStore, engine: Engine, folder: Path
) -> None:
    """And comes back with the session, at every version."""
    store = new_store(settings, surveys_dir=folder)
    fill(store)
    assert contexts(engine) == {"thanks": '{"language":"de","ending":1}', "plain": None}
    submit(store, SetLanguage(at=store.clock(), language="en"), key=KEY)
    snapshot = store.queries.load(KEY)
    assert snapshot is not None
    assert (ending := snapshot.ending(store.clock())) is not None
    assert (snapshot.language, ending["title"]) == ("en", "Bye")
    before = store.queries.at_version(KEY, 2)
    assert (ending := before.ending(store.clock())) is not None
    assert (before.language, ending["title"]) == ("de", "Tschüss")
    submit(store, Restart(at=store.clock()), key=KEY)
    assert [check.verdict for check in verify_sessions(store)] == ["same", "same"]


def test_context_is_encrypted_and_rotated(
    settings: Settings, new_store: NewStore, engine: Engine, folder: Path
) -> None:
    """A missing one stays NULL; a second run has nothing to do."""
    fill(new_store(settings, surveys_dir=folder, answers_keys=keys_of(OLD)))
    stored = contexts(engine)
    assert stored["plain"] is None
    assert stored["thanks"] is not None
    assert stored["thanks"].startswith("enc:1:")
    store = new_store(settings, surveys_dir=folder, answers_keys=keys_of(NEW, OLD))
    assert rotate_keys(store).sessions == 2
    assert contexts(engine)["thanks"] != stored["thanks"]
    assert rotate_keys(store).is_complete
    snapshot = store.queries.load(KEY)
    assert snapshot is not None
    assert snapshot.state.language == "de"


def test_context_is_in_backups(settings: Settings, new_store: NewStore, folder: Path, tmp_path: Path) -> None:
    """A restored session has its language and its ending."""
    store = new_store(settings, surveys_dir=folder)
    fill(store)
    archive = tmp_path / "copy.zip"
    create_backup(store, archive)
    submit(store, SetLanguage(at=store.clock(), language="en"), key=KEY)
    restore_backup(store, archive, replace=True)
    restored = store.queries.load(KEY)
    assert restored is not None
    assert (restored.state.language, restored.state.ending) == ("de", 1)


def test_context_is_blanked_with_the_answers(
    settings: Settings, new_store: NewStore, engine: Engine, folder: Path
) -> None:
    """When the erasure of a large session begins."""
    store = new_store(settings, surveys_dir=folder)
    fill(store)
    stale = StaleSession(KEY, 2)
    assert store.run_transaction(lambda connection: retention.blank(connection, stale, {"thanks": store.clock() + 1}))
    assert contexts(engine)["thanks"] is None
