"""Say how much each tag counts in an entity.

Weights lie in [0, 1]: ``rule * (IDF_FLOOR + (1 - IDF_FLOOR) * idf)``.

- ``rule`` is the factor in `RULE_WEIGHTS`: what an entity is counts twice what describes it.
- ``idf = log(share) / log(smallest share)``, in [0, 1]; ``share`` is the part of tagged entities
  that carry the tag, averaged over the counted extracts so that no large one decides alone.
- The floor keeps the common tags: ``building=yes`` counts about a third of the rarest kind.
- An unseen value of a known key counts as the rarest tag does, times the part of the key's use
  that lies in frequent values: ``amenity=x`` is news, one more ``roof:colour=#a1b2c3`` is less.
- An unknown key has `UNKNOWN_KEY_IDF`; it may be a new idea or a typing error.
- NUMBER, PRESENCE and tags without a value take the idf of their key.
- NAME and ADDRESS take no idf, so that a rare name is never what an entity is about.
- A list has the mean weight of its parts. NOISE and ID have none.
"""

import math
from collections.abc import Mapping

from encoder.tag_rules import ReadTag, Rule

RULE_WEIGHTS: Mapping[Rule, float] = {
    Rule.KIND: 1.0,
    Rule.CATEGORY: 0.5,
    Rule.NUMBER: 0.3,
    Rule.PRESENCE: 0.1,
    Rule.NAME: 0.1,
    Rule.ADDRESS: 0.02,  # an entity often has six of them, all alike
    Rule.ID: 0.0,
    Rule.NOISE: 0.0,
}
TRANSLATED_NAME_WEIGHT = 0.01  # name:sv, alt_name ...: a capital has two hundred
IDF_FLOOR = 0.25
UNKNOWN_KEY_IDF = 0.5

_PLAIN_NAMES = frozenset({"name", "brand", "operator", "network"})


class TagWeights:
    """The weight of any tag, from the shares of the frequent ones.

    Parameters
    ----------
    shares
        Part of the tagged entities, in (0, 1], that carry a tag ("amenity=cafe") or a key
        ("amenity").
    known
        Part of a key's use, in [0, 1], that lies in tags of `shares`.
    """

    def __init__(self, shares: Mapping[str, float], known: Mapping[str, float]) -> None:
        self._shares, self._known = shares, known
        self._log_smallest = math.log(min(min(shares.values(), default=0.5), 0.5))

    def idf(self, text: str) -> float | None:
        """Return 0 for a tag or key on every entity, 1 for the rarest counted, None if unknown."""
        share = self._shares.get(text)
        return None if share is None else math.log(min(share, 1.0)) / self._log_smallest

    def of(self, read: ReadTag) -> float:
        """Return the weight, in [0, 1], of a tag that `encoder.tag_rules.read_tag` has read."""
        rule, key, values, _ = read
        factor = RULE_WEIGHTS[rule]
        if rule is Rule.NAME:
            return factor if key in _PLAIN_NAMES else TRANSLATED_NAME_WEIGHT
        if rule is Rule.ADDRESS or not factor:
            return factor
        if values:
            idf = sum([self._value_idf(key, value) for value in values]) / len(values)
        else:
            key_idf = self.idf(key)
            idf = UNKNOWN_KEY_IDF if key_idf is None else key_idf
        return factor * (IDF_FLOOR + (1 - IDF_FLOOR) * idf)

    def _value_idf(self, key: str, value: str) -> float:
        idf = self.idf(f"{key}={value}")
        return self._known.get(key, UNKNOWN_KEY_IDF) if idf is None else idf
