"""A clinic's Flask application: a login of its own, surveys under /surveys, and their dashboard for its admin.

pip install "stepkeep[server]"
SECRET_KEY=... CLINIC_PASSWORD=... flask --app clinic run
"""

import hmac
import os
import re
from pathlib import Path

import flask
from stepkeep.flask import Stepkeep

USERS = {"ada", "ben", "admin"}

pages = flask.Blueprint("pages", __name__)

stepkeep = Stepkeep(
    url_prefix="/surveys",
    participant=lambda: flask.session.get("user"),
    dashboard=lambda: flask.session.get("user") == "admin",
    login_url=lambda: flask.url_for("pages.sign_in", next=flask.request.full_path.rstrip("?")),
)


def create_app() -> flask.Flask:
    """Return the clinic's application."""
    app = flask.Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY=os.environ["SECRET_KEY"],
        SESSION_COOKIE_SAMESITE="Lax",
        CLINIC_PASSWORD=os.environ["CLINIC_PASSWORD"],
        STEPKEEP_SURVEYS_DIR=Path(__file__).parent / "surveys",
    )
    app.register_blueprint(pages)
    app.register_error_handler(404, lambda _error: ("The clinic has no such page.", 404))
    stepkeep.init_app(app)
    return app


@pages.get("/")
def home() -> str:
    """Show the user's survey, and their answers so far."""
    user = flask.session.get("user")
    if user is None:
        return '<a href="/login">Sign in</a>'
    key = stepkeep.store.queries.key(user, "wellbeing")
    session = stepkeep.store.queries.load(key)
    state = "not begun" if session is None else session.state.status
    return flask.render_template_string(
        """<h1>Hello, {{ user }}</h1>
        <p><a href="{{ url_for('stepkeep.survey', survey_id='wellbeing') }}">How are you today?</a> ({{ state }})</p>
        {% if user == "admin" %}<p><a href="{{ url_for('stepkeep.dashboard') }}">Dashboard</a></p>{% endif %}""",
        user=user,
        state=state,
    )


@pages.route("/login", methods=["GET", "POST"])
def sign_in() -> flask.typing.ResponseReturnValue:
    """Sign a user in, and show them the page that they came for."""
    form = flask.request.form
    if flask.request.method == "GET":
        return '<form method="post"><input name="user"><input name="password" type="password"><button>Sign in</button>'
    is_right = hmac.compare_digest(form["password"].encode(), flask.current_app.config["CLINIC_PASSWORD"].encode())
    if form["user"] not in USERS or not is_right:
        return "Wrong name or password.", 403
    flask.session["user"] = form["user"]
    wanted = flask.request.args.get("next", "/")
    # Browsers drop tabs and line breaks, and take a backslash for a slash: "/<tab>/evil.example" is another site.
    is_own = re.fullmatch(r"/(?!/)[!-\[\]-~]*", wanted)
    return flask.redirect(wanted if is_own else "/", 303)


@pages.post("/logout")
def sign_out() -> flask.typing.ResponseReturnValue:
    """Sign the user out."""
    flask.session.clear()
    return flask.redirect("/", 303)
