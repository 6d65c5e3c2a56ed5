"""Export: a survey's sessions in the format that is asked for, piece by piece.

What is made while it is read (csv, long, jsonl) is given so; the other formats are written to a temporary file first,
which is gone afterwards, however the reading of it ended. But for SPSS and Stata, memory is that of a page.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ...sessions.service import SessionStore
from ...store.rows import dumps
from . import codebook, csv, excel, jsonl, parquet, spss_stata
from .layout import Layout
from .request import SHAPES, Asked, Shape
from .revisions import read_definitions
from .walk import Counts, Progress, Walk

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Pieces of a file, and what it has: the counts are whole when all pieces were taken."""

    pieces: Iterator[bytes]
    counts: Counts


class Export:
    """An export of one survey.

    Args:
        progress: told how many sessions were read, and of how many.

    Raises:
        NoSuchSurvey: there is none, and never was.
        InvalidInput: there is something that was asked for which the format does not have.
        Unavailable: the database is away.
    """

    def __init__(self, store: SessionStore, asked: Asked, progress: Progress = lambda _done, _total: None) -> None:
        asked.check()
        self._store = store
        self._asked = asked
        self._progress = progress
        self._at = store.clock()
        self.layout = Layout(read_definitions(store, asked.survey_id))

    @property
    def shape(self) -> Shape:
        """How it is sent."""
        return SHAPES[self._asked.format]

    @property
    def file_name(self) -> str:
        """What its file is called."""
        return f"{self._asked.survey_id}.{self.shape.suffix}"

    def look(self) -> Counts:
        """Return what the export will have and lack: all sessions are read, and nothing is made of them.

        Raises:
            MissingKey, Unavailable: as :meth:`make`.
        """
        walk = self._walk(lambda _done, _total: None)
        if self._asked.format == "long" or self._asked.history:
            for _, entries in walk.with_events():
                deque(entries, maxlen=0)
        else:
            deque(walk.pages(), maxlen=0)
        return walk.counts

    def make(self) -> Exported:
        """Return the file; a format that is not streamed is written now, the others as their pieces are taken.

        Raises:
            MissingKey: an answer can't be read without a key that is not there: left out, it would seem erased.
            Unavailable: the database is away; these two also while the pieces are taken.
            InvalidInput: a library is not installed, or the format can't hold so much.
        """
        walk = self._walk(self._progress)
        streamed = self._streamed(walk)
        return Exported(pieces=self._written(walk) if streamed is None else streamed, counts=walk.counts)

    def _walk(self, progress: Progress) -> Walk:
        return Walk(self._store, self._asked, self._at, progress)

    def _streamed(self, walk: Walk) -> Iterator[bytes] | None:
        asked, is_safe = self._asked, self._asked.spreadsheet_safe
        match asked.format:
            case "csv":
                return csv.session_pieces(self.layout, walk, labels=asked.labels, spreadsheet_safe=is_safe)
            case "long":
                return csv.event_pieces(walk, drafts=asked.drafts, spreadsheet_safe=is_safe)
            case "jsonl":
                return jsonl.pieces(self.layout, walk, history=asked.history, drafts=asked.drafts)
            case _:
                return None

    def _written(self, walk: Walk) -> Iterator[bytes]:
        """Write the file now; return its pieces, the first of which is taken: closing them removes it."""
        pieces = _pieces_of(lambda path: self._write(path, walk))
        next(pieces)  # empty: the file is there
        return pieces

    def _write(self, path: Path, walk: Walk) -> None:
        asked, layout = self._asked, self.layout
        match asked.format:
            case "parquet":
                text = dumps(codebook.document_of(layout))
                parquet.write_parquet(path, layout, walk, labels=asked.labels, codebook=text)
            case "xlsx":
                excel.write_xlsx(path, layout, walk, labels=asked.labels)
            case _:
                spss_stata.write_labelled(path, layout, walk, asked.format)


def _pieces_of(write: Callable[[Path], None]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="stepkeep-export-") as folder:
        path = Path(folder, "export")
        write(path)
        yield b""
        with closing(path.open("rb")) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
