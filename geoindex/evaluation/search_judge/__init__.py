"""Judge vectors by what they find when something is hidden, beside other vectors.

`geoindex evaluate INDEX... --search` runs it for methods by name. In Python, for any vectors::

    from geoindex.evaluation.search_judge import SearchJudge

    judge = SearchJudge.open(["monaco.geoindex", "helsinki.geoindex"])
    scores = judge.run(lambda view: embed(view))     # (n, d) of all entities of a `MapView`
    print(judge.means(scores))                       # {measure: mean over places and seeds}

or, with vectors that are made elsewhere::

    for masking in judge.maskings:                   # masking.hidden: which tags, as view.codes
        vectors[masking.key] = ...
    scores = judge.score(vectors)
"""

from geoindex.evaluation.search_judge.judge import SearchJudge
from geoindex.evaluation.search_judge.maskings import Masking
from geoindex.evaluation.search_judge.measures import MEASURES, Measure, PlaceScore

__all__ = ["MEASURES", "Masking", "Measure", "PlaceScore", "SearchJudge"]
