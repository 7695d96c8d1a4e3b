"""Write safetensors files so that what the system refuses, such as a full disk, is an OSError."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def save_tensors(tensors: "Mapping[str, Tensor]", path: Path) -> None:
    """Write tensors, each with memory of its own.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        # an error of its own class, whatever it is; the number of the system's stands in the text
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error
