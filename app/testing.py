"""Pytest fixtures for programs that use Stepkeep (docs/python.md).

PYTEST_DONT_REWRITE: else pytest warns if a ``conftest.py`` imports from it too.
"""

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from . import database
from .core.message_ids import new_message_id
from .core.timestamps import to_datetime
from .errors import InvalidInput
from .sessions import SessionStore, open_store
from .settings import Settings
from .store import normalise_url, upgrade_schema
from .survey import Answer, SessionKey, Snapshot, answer_fields
from .survey.types import PageStep, SampleRequest, Step
from .writer import Rejected

try:
    import pytest
except ImportError:
    raise ImportError(f"{__name__} needs pytest, which is not installed: pip install pytest") from None

MAX_ANSWERS = 400
"""Of one walk: the rules of a survey may lead in a circle."""

Walk = Callable[..., Snapshot]
"""As :func:`walk`, without the store."""


def create_sqlite(file: Path) -> str:
    """Write a SQLite file at the newest schema, and return its URL."""
    file.write_bytes(_migrated_sqlite())
    return f"sqlite:///{file}"


@cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory(prefix="stepkeep-template-") as folder:
        file = Path(folder) / "template.db"
        upgrade_schema(normalise_url(f"sqlite:///{file}"))
        return file.read_bytes()


def walk(
    store: SessionStore,
    survey: str | None = None,
    *,
    user_id: str | None = None,
    answers: Mapping[str, Any] | None = None,
    until: str | None = None,
    seed: int = 0,
) -> Snapshot:
    """Answer a survey from where the session is, and return the session.

    Args:
        user_id: None for a new participant.
        answers: by step; other steps get a random answer that the survey accepts.
        until: the step at which to stop, unanswered; None walks to the end.

    Raises:
        AssertionError: the survey rejects an answer, or the walk does not reach its goal.
        InvalidInput: ``answers`` or ``until`` names an unknown step.
    """
    answers = answers or {}
    key = store.queries.key(new_message_id() if user_id is None else user_id, survey)
    snapshot, _ = store.turns.get_or_create(key, is_audio_mode=False)
    _require_steps(snapshot, {*answers, *([] if until is None else [until])})
    rng = random.Random(seed)  # noqa: S311 - reproducible from the seed
    for _ in range(MAX_ANSWERS):
        step_id = snapshot.state.current_step
        if snapshot.state.status != "in_progress" or step_id == until:
            break
        value = answers[step_id] if step_id in answers else _sample(snapshot, rng, store.clock())
        snapshot = _answered(store, key, step_id, value)
    reached = snapshot.state.current_step
    expected = until or "end"
    if reached != expected:
        raise AssertionError(f"the walk ended at {reached!r}, not at {expected!r}")
    return snapshot


def _require_steps(snapshot: Snapshot, step_ids: set[str]) -> None:
    known = set() if snapshot.survey is None else set(snapshot.survey.client_steps)
    if unknown := sorted(step_ids - known):
        raise InvalidInput(f"the survey {snapshot.key.survey_id} has no step {', '.join(unknown)}")


def _sample(snapshot: Snapshot, rng: random.Random, at: int) -> object:
    step: Step | None = None if snapshot.survey is None else snapshot.survey.step(snapshot.state.current_step)
    if step is None:
        raise InvalidInput(f"the survey {snapshot.key.survey_id} has no step {snapshot.state.current_step}")
    today: date = to_datetime(at).date()
    request = SampleRequest(random=rng, level=rng.random(), lean=rng.random(), today=today)
    if isinstance(step, PageStep) and snapshot.survey is not None:
        return answer_fields(snapshot.survey, step, snapshot.state, lambda field: field.sample(request))
    return step.sample(request)


def _answered(store: SessionStore, key: SessionKey, step_id: str, value: object) -> Snapshot:
    result = store.turns.submit(key, Answer(at=store.clock(), step=step_id, value=value))
    if isinstance(result, Rejected):
        rejection = result.rejection
        raise AssertionError(f"step {step_id} rejects {value!r}: {rejection.code}: {rejection.message}")
    return result.snapshot


class _GivenSettings(Settings):
    """Settings without the environment, which may name a developer's Redis or schema."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic passes all five, by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


@pytest.fixture
def stepkeep_surveys() -> Path:
    """The folder of the survey files: ``surveys``."""
    return Path("surveys")


@pytest.fixture
def stepkeep_settings(tmp_path: Path, stepkeep_surveys: Path) -> Settings:
    """The store's settings: an empty SQLite file, and nothing from the environment."""
    url = create_sqlite(tmp_path / "stepkeep.db")
    return _GivenSettings(database_url=url, surveys_dir=stepkeep_surveys, environment="development")


@pytest.fixture
def stepkeep_store(stepkeep_settings: Settings) -> Iterator[SessionStore]:
    """A store for this test alone."""
    store = open_store(stepkeep_settings)
    yield store
    store.close()


@pytest.fixture
def stepkeep_database(stepkeep_store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> database.Database:
    """The Python API on this test's store, which ``get_database()`` returns too."""
    opened = database.Database(stepkeep_store)
    monkeypatch.setattr(database, "_instance", opened)
    return opened


@pytest.fixture
def stepkeep_walk(stepkeep_store: SessionStore) -> Walk:
    """:func:`walk` on this test's store."""
    return partial(walk, stepkeep_store)
