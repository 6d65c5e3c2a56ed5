"""The images of surveys. Nothing in them runs, an SVG's scripts and links included."""

import flask
from werkzeug import Response

from ...catalogue import FOLDER, TYPES, media_problem
from ..context import store

media = flask.Blueprint("media", __name__)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"

_MAX_AGE_S = 3600


@media.get("/media/<name>")
def get_media(name: str) -> Response:
    surveys_dir = store().settings.surveys_dir
    if media_problem(surveys_dir, name) is not None:
        flask.abort(404)
    path = (surveys_dir / FOLDER / name).resolve()
    response = flask.send_file(path, mimetype=TYPES[path.suffix.lower()], max_age=_MAX_AGE_S)
    response.headers["Content-Security-Policy"] = _POLICY
    return response
