"""Keep scores on disk, under the hash of all that decides them.

One small JSON file a task, masking, method and seed: an evaluation that was stopped goes on where
it was, and one more method costs only that method. Maps, labels and folds are in the hash by their
content. Code is, too, but only what decides the score: how heads are fitted and scored, how this
one method makes vectors. Comments and docstrings decide nothing.
"""

import ast
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from geoindex.evaluation.map_view import MapView
from geoindex.storage.filesystem import write_json
from geoindex.storage.workspace import fingerprint

_HERE = Path(__file__).parent
#: From vectors, labels and folds to scores.
SCORING = (
    "score_heads", "heads/fit", "heads/features", "heads/linear", "heads/mlp", "heads/knn",
    "heads/top_k", "metrics", "bootstrap",
)  # fmt: skip
# what a method's own module leaves to others; an encoder's code is in its fingerprint
_HELPERS = {"peers": ("baselines/counts",)}


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
        key = fingerprint(**parts)
        if key in self._memory or self.folder is None:
            return self._memory.get(key)
        try:
            return json.loads(self._path(key).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def put(self, content: Any, **parts: Any) -> None:
        """Keep plain values for these parts."""
        key = fingerprint(**parts)
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

    def of_methods(
        self,
        what: str,
        methods: Sequence[Any],
        view: MapView,
        make: Callable[[Any, MapView], Any],
        *,
        code: Iterable[str],
    ) -> Iterator[tuple[Any, Any]]:
        """Yield each method with what was kept for it and the view, else made and kept now.

        Parameters
        ----------
        what
            Names what is made.
        methods
            Of `geoindex.evaluation.baselines.base.Method`.
        code
            The modules that decide it, besides the method's own; see `code_of`.
        """
        for method in methods:
            row = [method.name, method.fingerprint, code_of_method(method)]
            parts = {what: code_of(code), "map": view.content, "row": row}
            yield method, self.kept_or_made(partial(make, method, view), **parts)

    def _path(self, key: str) -> Path:
        assert self.folder is not None  # noqa: S101 - callers check it
        return self.folder / key[:2] / f"{key}.json"


def code_of(modules: Iterable[str]) -> str:
    """Hash the code of some modules, named by their path from this folder without ``.py``."""
    return fingerprint(code=[_code_hash(_HERE / f"{module}.py") for module in modules])


def code_of_method(method: Any) -> str:
    """Hash the code of a method's module and its helpers; "" for a class typed by hand."""
    try:
        source = Path(inspect.getfile(type(method)))
        own = _code_hash(source)
    except (OSError, TypeError):
        return ""
    return fingerprint(own=own, helpers=code_of(_HELPERS.get(source.stem, ())))


@cache
def code_version() -> str:
    """Hash the code from vectors to scores: results of two versions are not to be compared."""
    return code_of(SCORING)


def digest(*parts: Any) -> str:
    """Hash arrays and texts by their content (BLAKE2b, 16 hex digits)."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        is_numeric = isinstance(part, np.ndarray) and part.dtype != object
        found.update(np.ascontiguousarray(part).tobytes() if is_numeric else repr(part).encode())
        found.update(b"\x1f")
    return found.hexdigest()


@cache
def _code_hash(path: Path) -> str:
    """Hash a file's code without comments, docstrings and layout."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[0] = ast.Pass()
    return hashlib.blake2b(ast.dump(tree).encode(), digest_size=8).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
