"""The server of a preview: the application in development mode on loopback, with a page around the survey's."""

import contextlib
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import flask
from werkzeug.serving import WSGIRequestHandler, make_server

from ...catalogue import check_files
from ...errors import InvalidInput
from ...sessions import open_store
from ...settings import Settings
from ...survey import SessionState, Snapshot, Survey
from ..factory import create_app
from .participant import PreviewParticipant, parameter_text

_FOLDER = Path(__file__).parent

LOOPBACK = "127.0.0.1"

_FILES = {"preview.html": "text/html", "preview.js": "text/javascript", "preview.css": "text/css"}


class Preview:
    """One survey file, and the participant who takes it. Safe from any thread."""

    def __init__(self, file: Path, folder: Path) -> None:
        self._file = file.absolute()
        surveys = folder / "surveys"
        surveys.mkdir()
        (surveys / "media").symlink_to(self._file.parent / "media")
        is_json = self._file.suffix == ".json"
        self._taken = surveys / ("survey.json" if is_json else "survey.yaml")
        settings = Settings(
            database_url=f"sqlite:///{folder / 'preview.db'}",
            surveys_dir=surveys,
            environment="development",
            log_level="WARNING",
        )
        self._stat: tuple[int, int] | None = None
        self._findings: list[dict[str, str]] = []
        self._mutex = threading.Lock()
        self.store = open_store(settings)
        self._participant = PreviewParticipant(self.store)
        self.app = create_app(settings, self.store)
        self._add_routes()

    def close(self) -> None:
        self.store.close()

    def state(self) -> dict[str, Any]:
        """Return what the page shows; takes the file first if it has changed."""
        with self._mutex:
            self._take_changes()
            survey = self._survey
            shown: dict[str, Any] = {"file": self._file.name, "findings": self._findings, "survey": None}
            return shown if survey is None else {**shown, **self._shown(survey)}

    def act(self, action: str, value: object) -> str | None:
        """Do what the author asks for; return why it is not possible.

        The value is a language, a step, or the texts of all parameters by name.
        """
        with self._mutex:
            survey = self._survey
            if survey is None:
                return "The file has no survey yet."
            try:
                return self._do(survey, action, value)
            except InvalidInput as error:
                return error.message

    def _do(self, survey: Survey, action: str, value: object) -> str | None:
        if isinstance(value, dict):
            texts = {name: str(text) for name, text in value.items()}
            self._participant.begin_with(survey, texts, self._state(survey))
        elif action == "language":
            self._participant.show_in(survey, str(value))
        elif action == "restart":
            self._participant.begin_again(survey, None)
        elif not self._participant.jump(survey, str(value)):
            return f"No answers are known that lead to {value}."
        return None

    def _state(self, survey: Survey) -> SessionState | None:
        snapshot, _ = self._load(survey)
        return None if snapshot is None else snapshot.state

    def _load(self, survey: Survey) -> tuple[Snapshot | None, str | None]:
        try:
            return self._participant.load(survey), None
        except InvalidInput as error:
            return None, error.message

    @property
    def _survey(self) -> Survey | None:
        return next(iter(self.store.catalogue.surveys.values()), None)

    def _take_changes(self) -> None:
        try:
            status = self._file.stat()
        except OSError:  # between the two steps of an editor that replaces the file
            return
        stat = (status.st_mtime_ns, status.st_size)
        if stat == self._stat:
            return
        self._stat = stat
        checked = check_files([self._file])
        self._findings = [
            {"level": finding.level, "text": str(finding).replace(str(self._file), self._file.name)}
            for finding in checked.findings
        ]
        if checked.errors:
            return
        before = self._survey
        state = None if before is None else self._state(before)
        self._taken.write_bytes(self._file.read_bytes())
        self.store.surveys.reload()
        survey = self._survey
        if survey is not None and before is not None:
            with contextlib.suppress(InvalidInput):  # the page shows it
                self._participant.begin_again(survey, state)

    def _shown(self, survey: Survey) -> dict[str, Any]:
        snapshot, problem = self._load(survey)
        session = _NOT_BEGUN if snapshot is None else _session(snapshot)
        language = (snapshot and snapshot.state.language) or survey.language
        translated = survey.in_language(language)
        return {
            **session,
            "problem": problem,
            "survey": survey.id,
            "title": translated.without_session.title if snapshot is None else snapshot.filled(translated.title),
            "user": self._participant.key(survey).user_id,
            "language": language,
            "languages": list(survey.offered_languages),
            "revision": survey.revision,
            "steps": [
                {
                    "id": step.id,
                    "prompt": str(step.prompt).split("\n\n", 1)[0],
                    "is_current": step.id == session["current_step"],
                    "is_on_route": step.id in session["route"],
                }
                for step in translated.without_session.steps
            ],
            "parameters": [
                {
                    "name": name,
                    "from": parameter.source,
                    "text": parameter_text(session["parameters"].get(name)),
                    "options": [
                        {"text": parameter_text(value), "label": str(label)}
                        for value, label in parameter.step.labels().items()
                    ],
                }
                for name, parameter in translated.parameters.items()
            ],
        }

    def _add_routes(self) -> None:
        app = self.app

        @app.get("/preview")
        def page() -> flask.Response:
            return _file("preview.html")

        @app.get("/preview/<name>")
        def file(name: str) -> flask.Response:
            if name not in _FILES:
                flask.abort(404)
            return _file(name)

        @app.get("/preview/state")
        def state() -> flask.Response:
            return flask.jsonify(self.state())

        @app.post("/preview/act")
        def act() -> flask.Response:
            # A page of another site can't send this type without asking first.
            body = flask.request.get_json()
            if not isinstance(body, dict):
                raise InvalidInput("The body must be an object.")
            problem = self.act(str(body.get("action")), body.get("value"))
            return flask.jsonify({"problem": problem})


_NOT_BEGUN: dict[str, Any] = {
    "status": "not begun",
    "current_step": "",
    "version": 0,
    "answers": {},
    "drafts": {},
    "values": {},
    "parameters": {},
    "route": [],
}


def _session(snapshot: Snapshot) -> dict[str, Any]:
    state = snapshot.state
    return {
        "status": state.status,
        "current_step": state.current_step,
        "version": state.version,
        "answers": dict(state.answers),
        "drafts": dict(state.drafts),
        "values": dict(snapshot.values),
        "parameters": state.parameters,
        "route": list(dict.fromkeys((*state.step_history, *state.answers, state.current_step))),
    }


def serve_preview(file: Path, *, port: int = 0, show: Callable[[str], None] = print) -> None:
    """Serve the preview of a file until Ctrl-C or SIGTERM; ``show`` gets its address."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="stepkeep-preview-") as folder:
        preview = Preview(file, Path(folder))
        server = make_server(LOOPBACK, port, framed(preview.app), threaded=True, request_handler=_Quiet)
        try:
            show(f"The preview of {file} is on http://{LOOPBACK}:{server.port}/preview - press Ctrl-C to stop.")
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            server.server_close()
            preview.close()


def framed(app: Callable[..., Any]) -> Callable[..., Iterable[bytes]]:
    """Let the page of the preview frame those of the application."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401 - WSGI's
            return start_response(
                status, [_framed(*header) for header in headers if header[0] != "X-Frame-Options"], *more
            )

        return app(environ, start)  # type: ignore[no-any-return]  # WSGI has no types

    return call


def _framed(name: str, value: str) -> tuple[str, str]:
    return name, value.replace("frame-ancestors 'none'", "frame-ancestors 'self'; frame-src 'self'")


def _file(name: str) -> flask.Response:
    return flask.Response((_FOLDER / name).read_text(encoding="utf-8"), mimetype=_FILES[name])


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_args: object) -> None:
        """Write no line for a request."""
