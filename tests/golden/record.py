"""Record the answers anew: ``python -m tests.golden.record [NAME...]``.

Only where an answer was wrong and is mended, or where a case is new. Each recorded change is a
change that users see: name it in CHANGELOG.md.
"""

import sys
import tempfile
from pathlib import Path

from tests.golden.answer import answer_of, dumped
from tests.golden.runner import MissingSourceError, Runner, answer_path, answers, read_cases


def main(names: list[str]) -> None:
    """Record the cases named, or all."""
    cases = read_cases()
    unknown = sorted(set(names) - set(cases))
    if unknown:
        sys.exit(f"no case {', '.join(unknown)} in cases.toml")
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder))
        for name in names or cases:
            case, path = cases[name], answer_path(name)
            try:
                here, done = runner.steps(case)
            except MissingSourceError as error:
                print(f"{name}: not recorded, {error}")
                continue
            text = dumped(answer_of(here, done, case.files)) + "\n"
            before = path.read_text("utf-8") if path.exists() else ""
            if text != before:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, "utf-8")
                print(f"{name}: {'changed' if before else 'new'}")
    for path in answers():
        if path.stem not in cases:
            path.unlink()
            print(f"{path.stem}: removed")


if __name__ == "__main__":
    main(sys.argv[1:])
