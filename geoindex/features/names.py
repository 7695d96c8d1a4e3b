"""Fold names to the words that are compared: without case, accents, punctuation, abbreviations.

Two names are the same if their words are: ``Église St-Martin`` and ``eglise saint martin`` have the
words ``eglise st martin``; a last s of a word does not count. Articles and prepositions (``de``,
``the``, ``am``) are left out where a name has other words. Names of scripts without spaces are one
word each.
"""

import re
import unicodedata

# letters that have no decomposition into a letter and accents; ß and ſ are folded by casefold()
_LETTERS = str.maketrans(
    {"ħ": "h", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i",
     "ŧ": "t", "ŋ": "n", "ŀ": "l"}
)  # fmt: skip
# between letters: the s of a genitive stays with its word, an elided article is a word
_GENITIVE = re.compile(r"['\u2018\u2019\u02bc`´]s\b")
_PARTED = re.compile(r"[\W_]+")
_COMPOUND = re.compile(r"\w+(?:[-'\u2018\u2019\u02bc\u2010\u2011]\w+)+")
_SMALL_WORDS = (
    "a al am an and at auf d das de del della den der des di die du e el en et i im in l la las le "
    "les los o och of on the ta til u und van von y zu zum zur"
)
_SMALL = frozenset(_SMALL_WORDS.split())
_SHORTENED = {
    "st": "saint sainte sankt sint sant santa santo san sao ste sta sto skt st",
    "str": "street strasse str",
    "av": "avenue avinguda avenida ave aven av",
    "bd": "boulevard blvd bld boul bd",
    "pl": "place placa plaza piazza pl",
    "ctra": "carretera ctra",
    "rd": "road rd",
    "sq": "square sq",
    "rte": "route rte",
    "mt": "mount mont mt",
    "hosp": "hospital hosp",
    "intl": "international intl",
    "univ": "university universite universitat univ",
    "esgl": "esglesia esgl",
    "dr": "doctor docteur doktor dr",
    "gen": "general gen",
    "2": "ii 2",
    "3": "iii 3",
    "4": "iv 4",
    "6": "vi 6",
    "7": "vii 7",
    "8": "viii 8",
    "9": "ix 9",
}
_CANONICAL = {word: short for short, words in _SHORTENED.items() for word in words.split()}
_NAME_KEYS = {
    "name": 0,
    "int_name": 1,
    "official_name": 1,
    "nat_name": 1,
    "alt_name": 2,
    "short_name": 2,
    "loc_name": 2,
    "reg_name": 2,
    "old_name": 3,
    "wikipedia": 4,
}
_EXPLAINED = re.compile(r" \(|, ")
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]+)*")
#: What `name_class` returns of a title of Wikipedia.
TITLE = _NAME_KEYS["wikipedia"]


def name_class(key: str) -> int | None:
    """Return how much of a name the value of a key is, 0 the most; None if it is no name.

    0 is ``name``; 1 a name in a language, international or official; 2 another name; 3 an old one;
    4 the title of an article.
    """
    if key in _NAME_KEYS:
        return _NAME_KEYS[key]
    base, colon, language = key.partition(":")
    if colon and base in _NAME_KEYS and _LANGUAGE.fullmatch(language):
        return max(_NAME_KEYS[base], 1)
    return None


def names_of(key_class: int, value: str) -> list[str]:
    """Return the names that a tag's value has: several are parted by ``;``."""
    if key_class == TITLE:
        # "fr:Église Sainte-Dévote", "de:Malbun (Liechtenstein)", "en:Mgarr, Gozo"; a section of an
        # article is about something else
        if "#" in value:
            return []
        title = _EXPLAINED.split(value.partition(":")[2].replace("_", " "))[0].strip()
        return [title] if title else []
    return [name for part in value.split(";") if (name := part.strip())]


def plain(name: str) -> str:
    """Return a name without case, accents and punctuation, its words parted by one space."""
    return " ".join(_plain_words(name))


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name that are compared, in order; empty if it has no letter.

    Examples
    --------
    >>> words_of("Bd. des Moulins")
    ('bd', 'moulin')
    >>> words_of("Boulevard des Moulins")
    ('bd', 'moulin')
    """
    found = _plain_words(name)
    long = [word for word in found if word not in _SMALL] or found
    words = [_canonical(word) for word in long]
    if len(words) > 1 and words[-1] == "st":
        # Republic St
        words[-1] = "str"
    return tuple(words)


def index_words(name: str) -> tuple[str, ...]:
    """Return the words under which a name is found, each once.

    Those of `words_of`, and compounds written as one: ``altschellenberg`` of ``Alt-Schellenberg``.
    """
    joined = (squeezed(found[0]) for found in _COMPOUND.finditer(name))
    return tuple(dict.fromkeys((*words_of(name), *joined)))


def squeezed(name: str) -> str:
    """Return a name as one word."""
    return _canonical(plain(name).replace(" ", ""))


def _plain_words(name: str) -> list[str]:
    letters = unicodedata.normalize("NFKD", _GENITIVE.sub("s", name.casefold()))
    bare = "".join(c for c in letters if not unicodedata.combining(c)).translate(_LETTERS)
    return _PARTED.sub(" ", bare).split()


def _canonical(word: str) -> str:
    if word in _CANONICAL:
        return _CANONICAL[word]
    if word.endswith("strasse"):
        return f"{word[:-7]}str"
    # St George's, St Georges, St George
    is_plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if is_plural else word
