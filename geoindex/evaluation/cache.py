"""What has been judged before? Scores on disk, under the hash of all that decides them.

One small JSON file a task, masking, row, head and seed: an evaluation that was stopped goes on
where it was, and one more row costs only that row. The hash holds the code of this package too.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from geoindex.workspace import fingerprint, write_json

# these show scores, or are of the other command, and decide none
_OTHERS = (
    "report", "markdown", "results", "retrieval", "collapse", "pictures", "cache", "leaks",
    "label", "knn", "predictions",
)  # fmt: skip


class ScoreCache:
    """A folder of scores; without a folder, a memory that forgets at the end.

    Parameters
    ----------
    folder
        Made when the first score comes. Any file in it may be deleted at any time.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._memory: dict[str, Any] = {}

    def get(self, **parts: Any) -> Any:
        """Return what was kept for these parts, None if nothing was."""
        key = fingerprint(code=code_version(), **parts)
        if key in self._memory or self.folder is None:
            return self._memory.get(key)
        try:
            return json.loads(self._path(key).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def put(self, content: Any, **parts: Any) -> None:
        """Keep plain values for these parts."""
        key = fingerprint(code=code_version(), **parts)
        self._memory[key] = content
        if self.folder is not None:
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, content)

    def kept_or_made(self, make: Callable[[], Any], **parts: Any) -> Any:
        """Return what was kept for these parts, else make and keep it."""
        found = self.get(**parts)
        if found is None:
            found = make()
            self.put(found, **parts)
        return found

    def _path(self, key: str) -> Path:
        assert self.folder is not None  # noqa: S101 - callers have looked
        return self.folder / key[:2] / f"{key}.json"


@cache
def code_version() -> str:
    """Hash the files of this package that decide a score."""
    folder = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*.py")):
        if not path.stem.startswith(_OTHERS):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
