"""How many threads does torch work with? One, where whole batches are made side by side.

Products of ours are small: threads within one wait for each other, and the number of them shows in
the last bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_state = {"inside": 0, "usual": 1}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, of those that are in here; any number may be at once."""
    with _lock:
        if not _state["inside"]:
            _state["usual"] = torch.get_num_threads()
        _state["inside"] += 1
        # torch keeps the number for each thread that asks, and one for those that come
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _state["inside"] -= 1
            torch.set_num_threads(_state["usual"])
