"""Export a survey's sessions.

Memory holds one page of sessions, except for SPSS and Stata.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ...sessions import SessionStore
from ...store import rows
from .codebook import codebook_to_dict
from .csv import write_events, write_sessions
from .excel import write_xlsx
from .jsonl import write_jsonl
from .layout import Layout
from .parquet import write_parquet
from .request import FORMATS, ExportRequest, FormatInfo
from .sessions import Counts, Progress, SessionReader, read_definitions
from .spss_stata import write_labelled

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """Pieces of a file; ``counts`` is complete after the last."""

    pieces: Iterator[bytes]
    counts: Counts


class Export:
    """An export of one survey.

    Raises:
        NoSuchSurvey, Unavailable: as ``read_definitions``.
        InvalidInput: an option is not supported.
    """

    def __init__(
        self, store: SessionStore, request: ExportRequest, progress: Progress = lambda _done, _total: None
    ) -> None:
        request.validate()
        self._store = store
        self._request = request
        self._progress = progress
        self._at = store.clock()
        self.layout = Layout(read_definitions(store, request.survey_id))

    @property
    def format(self) -> FormatInfo:
        return FORMATS[self._request.format]

    @property
    def file_name(self) -> str:
        return f"{self._request.survey_id}.{self.format.suffix}"

    def count(self) -> Counts:
        """Count what it contains and lacks; raises as :meth:`write`."""
        reader = self._reader(lambda _done, _total: None)
        if self._request.format == "long" or self._request.history:
            for _, entries in reader.with_events():
                deque(entries, maxlen=0)
        else:
            deque(reader.pages(), maxlen=0)
        return reader.counts

    def write(self) -> ExportFile:
        """Return the file: a streamed format is written while its pieces are read, another one now.

        Raises:
            MissingKey, Unavailable: as ``SessionReader.pages``; also while pieces are read.
            InvalidInput: a library is not installed, or a limit is exceeded.
        """
        reader = self._reader(self._progress)
        streamed = self._stream(reader)
        return ExportFile(pieces=self._written(reader) if streamed is None else streamed, counts=reader.counts)

    def _reader(self, progress: Progress) -> SessionReader:
        return SessionReader(self._store, self._request, self._at, progress)

    def _stream(self, reader: SessionReader) -> Iterator[bytes] | None:
        request, is_safe = self._request, self._request.spreadsheet_safe
        match request.format:
            case "csv":
                return write_sessions(self.layout, reader, labels=request.labels, spreadsheet_safe=is_safe)
            case "long":
                return write_events(reader, drafts=request.drafts, spreadsheet_safe=is_safe)
            case "jsonl":
                return write_jsonl(self.layout, reader, history=request.history, drafts=request.drafts)
            case _:
                return None

    def _written(self, reader: SessionReader) -> Iterator[bytes]:
        """Write a temporary file; closing the iterator removes it."""
        pieces = _file_pieces(lambda path: self._write(path, reader))
        next(pieces)  # an empty piece: the file is written
        return pieces

    def _write(self, path: Path, reader: SessionReader) -> None:
        request, layout = self._request, self.layout
        match request.format:
            case "parquet":
                codebook = rows.dumps(codebook_to_dict(layout))
                write_parquet(path, layout, reader, labels=request.labels, codebook=codebook)
            case "xlsx":
                write_xlsx(path, layout, reader, labels=request.labels)
            case _:
                write_labelled(path, layout, reader, request.format)


def _file_pieces(write: Callable[[Path], None]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="stepkeep-export-") as folder:
        path = Path(folder, "export")
        write(path)
        yield b""
        with closing(path.open("rb")) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
