"""Takes changed survey files while the server runs."""

import logging
import threading
import uuid
from dataclasses import dataclass

from ..catalogue import Catalogue, reread_catalogue
from ..errors import StepkeepError
from ..observability import metrics
from ..settings import Settings
from ..store import definitions, keyset, leases
from ..survey import Finding, Survey
from .queries import SessionQueries

log = logging.getLogger("stepkeep.surveys")

POLL_S = 2.0  # polled, because not every database notifies, and notifications can be lost
MAX_DOUBLINGS = 4  # of the wait between two attempts of a requested reload that fails
CLOSING_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """The ids of surveys that a reload changed; those with an error stay as they were."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    findings: tuple[Finding, ...]


class SurveyReloader:
    """Sessions keep their revisions. Safe from any thread."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        queries: SessionQueries,
        run_transaction: keyset.Run,
        *,
        is_alone: bool,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._queries = queries
        self._run_transaction = run_transaction
        self._is_alone = is_alone
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._request: str | None = None  # followed last; a new process follows the newest, as its files may be older

    def start(self) -> None:
        if not self._is_alone and self._thread is None:
            self._thread = threading.Thread(target=self._poll, name="stepkeep-surveys", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSING_S)

    def reload(self, *, is_everywhere: bool = False) -> Reload:
        """Read the files again, here or in all processes. If it raises Unavailable, nothing has changed."""
        with self._mutex:
            # Before the files are read: one that changes later has a later request, which is seen when polling.
            request = self._ask_others() if is_everywhere and not self._is_alone else None
            before = self._catalogue.surveys
            catalogue, findings = reread_catalogue(self._catalogue, self._settings)
            self._store(catalogue)
            for survey in before.values():
                self._queries.revisions.keep(survey)
            self._catalogue.replace(catalogue)
            self._request = request or self._request
        now = catalogue.surveys
        result = Reload(
            added=tuple(sorted(now.keys() - before.keys())),
            changed=tuple(sorted(one for one in now.keys() & before.keys() if _differ(now[one], before[one]))),
            removed=tuple(sorted(before.keys() - now.keys())),
            findings=findings,
        )
        _log(result, len(catalogue.errors))
        return result

    def reload_later(self) -> None:
        threading.Thread(target=self._reload_logged, name="stepkeep-surveys-reload").start()

    def _reload_logged(self) -> bool:
        try:
            self.reload()
        except StepkeepError as error:
            log.warning("Survey files not read again; the surveys stay as they were: %s", error)
            return False
        except Exception:
            log.exception("Unexpected error. Survey files not read again; the surveys stay as they were.")
            return False
        return True

    def _ask_others(self) -> str:
        request = uuid.uuid4().hex
        self._run_transaction(lambda connection: leases.request_reload(connection, request))
        return request

    def _store(self, catalogue: Catalogue) -> None:
        known = {(survey.id, survey.revision) for survey in self._catalogue.surveys.values()}
        new = [survey for survey in catalogue.surveys.values() if (survey.id, survey.revision) not in known]
        at = self._queries.clock()
        if new:
            self._run_transaction(lambda connection: definitions.add_definitions(connection, new, at))

    def _poll(self) -> None:
        failures = 0
        while not self._closing.wait(POLL_S * 2 ** min(failures, MAX_DOUBLINGS)):
            request = self._read_request()
            if request == self._request:
                failures = 0
            elif self._reload_logged():
                self._request = request
                failures = 0
            else:
                failures += 1

    def _read_request(self) -> str | None:
        try:
            return self._queries.run(lambda connection: leases.read_holder(connection, leases.RELOAD))
        except StepkeepError as error:
            log.debug("Requests to reload surveys can't be read: %s", error)
        except Exception:
            log.exception("Unexpected error. Requests to reload surveys can't be read.")
        return self._request


def _differ(new: Survey, old: Survey) -> bool:
    return any(getattr(new, name) != getattr(old, name) for name in ("revision", "access", "retention"))


def _log(result: Reload, errors: int) -> None:
    metrics.SURVEY_FILE_ERRORS.set(errors)
    metrics.SURVEY_RELOADS.labels("errors" if errors else "ok").inc()
    changes = {"added": result.added, "changed": result.changed, "removed": result.removed}
    shown = ", ".join(f"{what} {' '.join(ids)}" for what, ids in changes.items() if ids) or "nothing changed"
    log.info("Survey files read again: %s", shown)
    for finding in result.findings:
        if finding.level == "error":
            log.warning("Survey file not taken: %s", finding)
