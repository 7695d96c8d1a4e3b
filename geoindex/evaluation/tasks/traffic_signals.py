"""Are there traffic signals, and how many? Nodes where traffic or people on foot are signalled.

Hidden: every tag that says signals; ``crossing`` and what belongs to it as whole keys, since a
crossing without ``crossing=*`` would be a signalled one; the British crossings, which are kinds of
signals; what only signals have (buttons, turn on red). A node that was nothing else goes.
"""

from geoindex.evaluation.map_view import Telling
from geoindex.evaluation.tasks.counting import Counted

_COUNTED = ("highway=traffic_signals", "crossing=traffic_signals")
_TELLING = Telling(
    (
        "*=*traffic_signals*", "*traffic_signals*", "*traffic_light*", "*=*traffic_light*",
        "crossing", "crossing:*", "crossing_ref", "*:crossing", "segregated_crossing",
        "button_operated", "red_turn:*", "*red_turn*", "vibrating_floor", "*:signals",
        "highway=stop_line", "*stop_line*", "traffic_sign", "traffic_sign:*",
    )
)  # fmt: skip

TASKS = (
    Counted("signals_present", "Traffic signals, any", _COUNTED, _TELLING, is_present=True),
    Counted("signals_count", "Traffic signals, how many", _COUNTED, _TELLING),
)
