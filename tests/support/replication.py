"""Files of changes as a replication server holds them, below a folder that a test serves."""

import gzip
from pathlib import Path


def publish(folder: Path, sequence: int, moment: str, changes: str = "") -> None:
    """Add the next file of changes, and say that it is the newest."""
    digits = f"{sequence:09}"
    place = folder / digits[:3] / digits[3:6]
    place.mkdir(parents=True, exist_ok=True)
    text = f'<osmChange version="0.6">{changes}</osmChange>'
    (place / f"{digits[6:]}.osc.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    escaped = moment.replace(":", "\\:")
    state = f"#comment\nsequenceNumber={sequence}\ntimestamp={escaped}\n"
    (place / f"{digits[6:]}.state.txt").write_text(state, "utf-8")
    (folder / "state.txt").write_text(state, "utf-8")
