"""Cookies of participants and dashboard sign-ins."""

import flask
from werkzeug import Response

from ..access import DAY_US
from ..settings import Settings


class Cookies:
    """Reads the request's cookies and sets the response's."""

    def __init__(self, settings: Settings) -> None:
        self._is_secure = settings.environment != "development"
        self._prefix = "__Host-" if self._is_secure else ""
        self._token_age_s = int(settings.token_days * DAY_US // 1_000_000)

    def resume_token(self, survey_id: str) -> str | None:
        return flask.request.cookies.get(self._resume_name(survey_id))

    def set_resume_token(self, response: Response, survey_id: str, token: str) -> None:
        response.set_cookie(
            self._resume_name(survey_id),
            token,
            max_age=self._token_age_s,
            secure=self._is_secure,
            httponly=True,
            samesite="Lax",  # Strict is not sent from an e-mail's link: the participant would look new
        )

    def clear_resume_token(self, response: Response, survey_id: str) -> None:
        response.delete_cookie(self._resume_name(survey_id), secure=self._is_secure, httponly=True, samesite="Lax")

    def sign_in(self) -> str | None:
        return flask.request.cookies.get(self._sign_in_name)

    def set_sign_in(self, response: Response, value: str) -> None:
        response.set_cookie(self._sign_in_name, value, secure=self._is_secure, httponly=True, samesite="Strict")

    def clear_sign_in(self, response: Response) -> None:
        response.delete_cookie(self._sign_in_name, secure=self._is_secure, httponly=True, samesite="Strict")

    @property
    def _sign_in_name(self) -> str:
        return self._prefix + "stepkeep-sign-in"

    def _resume_name(self, survey_id: str) -> str:
        return f"{self._prefix}stepkeep.{survey_id}"
