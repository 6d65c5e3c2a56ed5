"""Export a survey's sessions."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...core.languages import best_match
from ...core.progress import Progress, no_progress
from ...errors import InvalidInput, NoSuchSurvey
from ...sessions import SessionStore
from ...survey import Survey
from .excel import write_xlsx
from .layout import Layout
from .parquet import write_parquet
from .request import FORMATS, ExportRequest, FormatInfo
from .sessions import Counts, SessionReader
from .spss_stata import write_labelled
from .streamed import write_events, write_jsonl, write_sessions

_PIECE_BYTES = 256 * 1024

_STREAMS = {"csv": write_sessions, "long": write_events, "jsonl": write_jsonl}
_FILES = {"parquet": write_parquet, "xlsx": write_xlsx, "sav": write_labelled, "dta": write_labelled}


class ExportFile(NamedTuple):
    """Pieces of a file; ``counts`` is complete after the last."""

    pieces: Iterator[bytes]
    counts: Counts


class Export:
    """An export of one survey; raises NoSuchSurvey."""

    def __init__(self, store: SessionStore, request: ExportRequest, progress: Progress = no_progress) -> None:
        self._store = store
        self._request = request
        self._progress = progress
        self._at = store.clock()
        surveys = store.queries.known_revisions(request.survey_id)
        if not surveys:
            raise NoSuchSurvey(request.survey_id, store.catalogue.public_ids)
        self.layout = Layout(_in_language(surveys, request.language), labels=request.labels)

    @property
    def format(self) -> FormatInfo:
        return FORMATS[self._request.format]

    @property
    def file_name(self) -> str:
        return f"{self._request.survey_id}.{self.format.suffix}"

    def count(self) -> Counts:
        reader = SessionReader(self._store, self._request, self._at, no_progress)
        if self._request.format == "long" or self._request.history or self.layout.has_warnings:
            for _, entries in reader.with_events():
                deque(entries, maxlen=0)
        else:
            deque(reader.pages(), maxlen=0)
        return reader.counts

    def write(self) -> ExportFile:
        """Return the file; a streamed format is written, and can raise MissingKey, while its pieces are read."""
        reader = SessionReader(self._store, self._request, self._at, self._progress)
        if self.format.is_streamed:
            pieces = _STREAMS[self._request.format](self.layout, reader)
        else:
            write = _FILES[self._request.format]
            pieces = _file_pieces(lambda path: write(path, self.layout, reader))
            next(pieces)  # an empty piece: the file is written
        return ExportFile(pieces=pieces, counts=reader.counts)


def _in_language(surveys: Sequence[Survey], language: str | None) -> Sequence[Survey]:
    if language is None:
        return surveys
    known = sorted({tag for survey in surveys for tag in (survey.language, *survey.languages)})
    if best_match((language,), known) is None:
        raise InvalidInput(f"The survey {surveys[0].id} has no texts in {language}; it has {', '.join(known)}.")
    return [survey.in_language(language) for survey in surveys]


def _file_pieces(write: Callable[[Path], None]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="stepkeep-export-") as folder:
        path = Path(folder, "export")
        write(path)
        yield b""
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
