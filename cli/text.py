"""Make text from maps safe to show to people.

Names and tags are written by strangers. On a terminal, control characters can clear the screen,
forge a row or set the title, and bidirectional controls can turn a line round.
Here they are shown as escapes; line ends and tabs are shown as a space. In JSON they are written as
JSON's own escapes, which changes nothing. Other data that programs read (CSV, Parquet) is left as
it is, but for CSV that goes to a terminal.
"""

import re

# C0, delete, C1, and the controls of the bidirectional algorithm (UAX 9, section 2)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")


def shown(text: str) -> str:
    """Return a text on one line, its controls as escapes."""
    return escaped(_SPACE.sub(" ", text))


def json_safe(text: str) -> str:
    """Return JSON with controls as JSON's escapes: the same content."""
    # line ends and tabs are the layout's; JSON has escaped those of texts
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escaped(text: str) -> str:
    """Return a text of several lines, its controls as escapes."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
