"""The server of a preview: the application in development mode on loopback, with a page around the survey's."""

import signal
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import flask
from werkzeug.serving import WSGIRequestHandler, make_server

from ..catalogue import check_files
from ..errors import InvalidInput
from ..sessions import open_store
from ..settings import Settings
from ..survey import Survey
from ..web import create_app
from .participant import PreviewParticipant

_FOLDER = Path(__file__).parent

LOOPBACK = "127.0.0.1"

_FILES = {"preview.html": "text/html", "preview.js": "text/javascript", "preview.css": "text/css"}


class Preview:
    """One survey file, and the participant who takes it. Safe from any thread.

    Attributes:
        app: the application, with the routes of the preview.
    """

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

    def act(self, action: str, value: str) -> str | None:
        """Do what the page's author asks for; return why it is not possible."""
        with self._mutex:
            survey = self._survey
            if survey is None:
                return "The file has no survey yet."
            if action == "language":
                self._participant.show_in(survey, value)
            elif action == "restart":
                self._participant.begin_again(survey, None)
            elif not self._participant.jump(survey, value):
                return f"No answers are known that lead to {value}."
            return None

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
        state = None if before is None else self._participant.load(before).state
        self._taken.write_bytes(self._file.read_bytes())
        self.store.surveys.reload()
        survey = self._survey
        if survey is not None and before is not None:
            self._participant.begin_again(survey, state)

    def _shown(self, survey: Survey) -> dict[str, Any]:
        snapshot = self._participant.load(survey)
        state = snapshot.state
        language = state.language or survey.language
        translated = survey.in_language(language)
        route = (*state.step_history, state.current_step)
        return {
            "survey": survey.id,
            "title": str(translated.title),
            "user": snapshot.key.user_id,
            "language": language,
            "languages": list(survey.offered_languages),
            "steps": [
                {
                    "id": step.id,
                    "prompt": str(step.prompt).split("\n\n", 1)[0],
                    "is_current": step.id == state.current_step,
                    "is_on_route": step.id in route or step.id in state.answers,
                }
                for step in translated.steps
            ],
            "status": state.status,
            "current_step": state.current_step,
            "version": state.version,
            "revision": survey.revision,
            "answers": dict(state.answers),
            "drafts": dict(state.drafts),
            "route": list(dict.fromkeys((*state.step_history, *state.answers, state.current_step))),
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
                raise InvalidInput("the body must be an object")
            problem = self.act(str(body.get("action")), str(body.get("value")))
            return flask.jsonify({"problem": problem})


def serve_preview(file: Path, *, port: int = 0, show: Callable[[str], None] = print) -> None:
    """Serve the preview of a file until Ctrl-C or SIGTERM; nothing is kept.

    Args:
        port: 0: a free one.
        show: gets the address.
    """
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
    """Let pages of the preview be framed by its own page."""

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
