"""Whether a SQLite file's name still leads to the open file: what is written to a deleted or replaced one is lost."""

import logging
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

from ...core.files import OWNER_ONLY
from ...core.fork_hooks import ForkAware, register
from ...errors import ConfigurationError, DatabaseFileLost

log = logging.getLogger("stepkeep.store")

MOUNTS = Path("/proc/self/mountinfo")
# Extended attribute of a write-ahead log: the inodes of its database and of itself, so that a copy is recognised.
OWNER = "user.stepkeep.database"
_COMPANIONS = ("-wal", "-shm")
_LEFT_OVER = ("-wal", "-journal")

Identity = tuple[int, int]
_FILES: dict[str, "DatabaseFile"] = {}


def database_file_at(path: str) -> "DatabaseFile":
    return _FILES.setdefault(path, DatabaseFile(path))


def in_use_mark(path: str) -> Path:
    """Return the file that exists while a server uses the database, and after a crash."""
    return Path(f"{path}.in-use")


class DatabaseFile(ForkAware):
    """The file that all connections of this process have open. Safe from any thread."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problem: str | None = None
        self._mutex = threading.Lock()
        self._connections = 0
        self._is_inherited = False
        self._identities: dict[str, Identity] = {}
        register(self)

    def after_fork_in_child(self) -> None:
        """Forget the companions: the parent deletes them when it closes its connections."""
        self._mutex = threading.Lock()
        self._is_inherited, self._connections = self._is_inherited or self._connections > 0, 0
        self._identities = {name: identity for name, identity in self._identities.items() if name == self.path}

    def before_open(self) -> None:
        with self._mutex:
            is_open = self._connections > 0 or self._is_inherited
            if not is_open:
                _check_name(self.path)
                found = _identify(self.path)
                if found is None:  # SQLite gives its companions the same mode
                    with suppress(OSError):  # another process was first; or SQLite's error explains it
                        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY))
                self.problem, self._identities = None, {} if found is None else {self.path: found}
        if is_open:
            self.check()

    def after_open(self) -> None:
        with self._mutex:
            self._connections += 1
            if (found := _identify(self.path)) is not None:
                self._identities = {self.path: found, **self._identities}  # other threads iterate over the earlier one
        self.check()

    def remember_companions(self) -> None:
        with self._mutex:
            for suffix in _COMPANIONS:
                if (found := _identify(name := self.path + suffix)) is not None:
                    self._identities = {**self._identities, name: self._identities.get(name, found)}
            log_path = f"{self.path}-wal"
            identity, own = _identify(self.path), _identify(log_path)
            if identity is not None and own is not None:
                with suppress(OSError, AttributeError):  # not on every file system or platform
                    os.setxattr(log_path, OWNER, f"{identity[1]} {own[1]}".encode())

    def after_close(self) -> None:
        with self._mutex:
            self._connections -= 1
            if self._connections == 0:  # SQLite has deleted the companions
                self._is_inherited = False

    def check(self) -> None:
        """Raise DatabaseFileLost unless all names lead to the same files."""
        for name, identity in self._identities.items():
            found = _identify(name)
            if found != identity:
                problem = _problem(name, self.path, is_missing=found is None)
                with self._mutex:
                    before, self.problem = self.problem, problem
                if before != problem:
                    log.error("%s", problem)
                raise DatabaseFileLost(problem)
        if self.problem is not None:
            with self._mutex:
                before, self.problem = self.problem, None
            if before is not None:
                log.warning("%s is back.", self.path)

    def has_lost_only_its_log(self) -> bool:
        return all(  # another file under a companion's name would be damaged
            (found := _identify(name)) == identity or (found is None and name != self.path)
            for name, identity in self._identities.items()
        )


def _identify(path: str) -> Identity | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - twice as fast, for each commit
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _problem(name: str, path: str, *, is_missing: bool) -> str:
    if name != path:
        what = "deleted or moved" if is_missing else "replaced"
        return (
            f"{name} was {what} while the server uses it, so nothing more is saved. Restart the server; it saves what "
            "was acknowledged."
        )
    if is_missing:
        return (
            f"{path} was deleted or moved while the server uses it, so nothing more is saved. Move it back: the server "
            "then continues by itself."
        )
    return (
        f"{path} was replaced by another file while the server uses it, so nothing more is saved. Put the original "
        f"back; or, to use the other file, stop the server, move {path}-wal away, and start it."
    )


def _check_name(path: str) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"the database {path} can't be opened: it is not a file")
    if status is not None and status.st_nlink > 1:
        raise ConfigurationError(
            f"the database {path} has {status.st_nlink} names (hard links): SQLite would keep a write-ahead log for "
            f"each and damage it. Find them with `find / -samefile {path}`, and remove all but one."
        )
    if status is None or status.st_size == 0:
        _check_missing(path)
    if _belongs_to_another(f"{path}-wal", path):
        raise ConfigurationError(
            f"{path}-wal belongs to another file than {path}, which was replaced: SQLite would apply it to the wrong "
            f"one. Put the original back; or move {path}-wal away to use the file that is there."
        )
    if path in _mount_points():
        raise ConfigurationError(
            f"the database {path} is a mount point: its write-ahead log would be elsewhere. Mount its folder instead."
        )


def _check_missing(path: str) -> None:
    """Raise ConfigurationError if SQLite would delete a log, and begin an empty database."""
    in_use = str(in_use_mark(path))
    left = next((name for suffix in _LEFT_OVER if _size(name := path + suffix) > 0), None)
    # While the database is moved away, a process must not begin an empty one.
    if left is None and not os.path.exists(path) and os.path.exists(in_use):  # noqa: PTH110 - as above
        left = in_use
    if left is not None:
        raise ConfigurationError(
            f"the database {path} is missing, but {left}, which belongs to it, is there: it was deleted or moved. "
            f"Move it back; or move {left} away to begin with an empty database."
        )


def _belongs_to_another(log_path: str, path: str) -> bool:
    identity, own = _identify(path), _identify(log_path)
    if identity is None or own is None or _size(log_path) == 0:
        return False
    try:
        owner, marked = os.getxattr(log_path, OWNER).split()
    except (OSError, AttributeError, ValueError):
        return False
    return int(marked) == own[1] and int(owner) != identity[1]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as above
    except OSError:
        return 0


def _mount_points() -> set[str]:
    """Return where something is mounted (proc_pid_mountinfo(5))."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set()
    fields = (line.split(" ")[4] for line in lines)
    return {field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\") for field in fields}
