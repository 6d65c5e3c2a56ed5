"""The pages' static files at ``/assets/<digest of all files>/<path>``, which browsers keep for good."""

import gzip
import hashlib
import json
import mimetypes
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import flask
from werkzeug import Response
from werkzeug.exceptions import NotFound

MIN_COMPRESSED_BYTES = 1000  # smaller bodies fit a packet anyway

_BUNDLES = "bundle"
_DIGEST_LENGTH = 16  # characters, 64 bits; bundle/build.mjs has the same
_VERSIONED = re.compile(rf"(?P<version>[0-9a-f]{{{_DIGEST_LENGTH}}})/(?P<name>.+)")
_A_YEAR = "public, max-age=31536000, immutable"
_COMPRESSED = re.compile(r"(text/.*|application/json|image/svg\+xml)")


@dataclass(frozen=True)
class _Asset:
    content: bytes
    mimetype: str

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:_DIGEST_LENGTH]

    @cached_property
    def compressed(self) -> bytes | None:
        if len(self.content) < MIN_COMPRESSED_BYTES or not _COMPRESSED.fullmatch(self.mimetype):
            return None
        return gzip.compress(self.content, mtime=0)


@dataclass(frozen=True)
class _Release:
    files: dict[str, _Asset]
    version: str
    bundled: frozenset[str]  # files whose bundle is current: a clone works without bundles


_Signature = tuple[tuple[str, int, int], ...]


class Assets:
    """The files of a folder. Safe from any thread."""

    def __init__(self, folder: Path, *, is_watched: bool) -> None:
        self._folder = folder
        self._is_watched = is_watched
        self._loaded: tuple[_Signature, _Release] | None = None

    @property
    def version(self) -> str:
        return self._release().version

    def path(self, name: str) -> str:
        release = self._release()
        return f"{release.version}/{_BUNDLES}/{name}" if name in release.bundled else f"{release.version}/{name}"

    def respond(self, path: str) -> Response:
        release = self._release()
        versioned = _VERSIONED.fullmatch(path)
        asset = release.files.get(versioned["name"] if versioned else path)
        if asset is None:
            raise NotFound
        response = flask.Response(asset.content, mimetype=asset.mimetype)
        is_compressed = asset.compressed is not None and accepts_gzip()
        if asset.compressed is not None:
            response.vary.add("Accept-Encoding")
            if is_compressed:
                set_gzip_body(response, asset.compressed)
        # A page of an earlier or a later release gets the current file, and asks for it each time.
        is_current = versioned is not None and versioned["version"] == release.version
        response.headers["Cache-Control"] = _A_YEAR if is_current else "no-cache"
        response.set_etag(f"{asset.digest}-gzip" if is_compressed else asset.digest)
        return response.make_conditional(flask.request)

    def _release(self) -> _Release:
        loaded = self._loaded
        if loaded is not None and not self._is_watched:
            return loaded[1]
        signature = self._signature()
        if loaded is None or loaded[0] != signature:
            self._loaded = loaded = signature, self._load(signature)
        return loaded[1]

    def _signature(self) -> _Signature:
        paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
        stats = ((path.relative_to(self._folder).as_posix(), path.stat()) for path in paths)
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)

    def _load(self, signature: _Signature) -> _Release:
        files = {name: self._read(name) for name, _, _ in signature}
        digests = "".join(f"{name} {asset.digest}\n" for name, asset in files.items())
        version = hashlib.sha256(digests.encode()).hexdigest()[:_DIGEST_LENGTH]
        return _Release(files, version, frozenset(_current_bundles(files)))

    def _read(self, name: str) -> _Asset:
        mimetype, _ = mimetypes.guess_type(name)
        return _Asset((self._folder / name).read_bytes(), mimetype or "application/octet-stream")


def _current_bundles(files: dict[str, _Asset]) -> list[str]:
    manifest = files.get(f"{_BUNDLES}/manifest.json")
    if manifest is None:
        return []
    bundles: dict[str, dict[str, str]] = json.loads(manifest.content)
    digests = {name: asset.digest for name, asset in files.items()}
    return [
        name
        for name, sources in bundles.items()
        if f"{_BUNDLES}/{name}" in files and all(digests.get(source) == digest for source, digest in sources.items())
    ]


def accepts_gzip() -> bool:
    return flask.request.accept_encodings["gzip"] > 0


def set_gzip_body(response: Response, compressed: bytes) -> None:
    response.set_data(compressed)
    response.headers["Content-Encoding"] = "gzip"
