"""The tasks by name; `geoindex.evaluation.tasks.base` holds what a task must have.

A task of your own need not be listed here: pass the object itself.
"""

from collections.abc import Iterable

from geoindex.errors import UsageError
from geoindex.evaluation.tasks.base import Labels, Task
from geoindex.evaluation.tasks.classes import AMENITY_CLASS, BUILDING_CLASS, ROAD_CLASS
from geoindex.evaluation.tasks.counting import (
    AMENITIES,
    BRIDGES_COUNT,
    BRIDGES_PRESENT,
    BUILDINGS,
    CAR_BRIDGES,
    SHOPS,
    SIGNALS_COUNT,
    SIGNALS_PRESENT,
)
from geoindex.evaluation.tasks.land_use import LAND_USE
from geoindex.evaluation.tasks.speeds import MAX_SPEED, ROAD_SPEED

__all__ = ["TASKS", "Labels", "Task", "find_tasks"]

_ALL: tuple[Task, ...] = (
    SIGNALS_PRESENT, SIGNALS_COUNT, BUILDINGS, MAX_SPEED, BRIDGES_PRESENT, BRIDGES_COUNT,
    CAR_BRIDGES, SHOPS, AMENITIES, LAND_USE, ROAD_CLASS, BUILDING_CLASS, AMENITY_CLASS, ROAD_SPEED,
)  # fmt: skip
#: All tasks, by name: those of cells first.
TASKS: dict[str, Task] = {task.name: task for task in _ALL}


def find_tasks(wanted: Iterable[str | Task] | None = None) -> list[Task]:
    """Return tasks by their names; tasks of your own go through; None is all of ours.

    Raises
    ------
    UsageError
        If there is no task of a name, or two have the same.
    """
    if wanted is None:
        return list(TASKS.values())
    found: list[Task] = []
    for item in wanted:
        if isinstance(item, str) and item not in TASKS:
            msg = f"no task {item!r}; want some of {', '.join(TASKS)}. Example: buildings,max_speed"
            raise UsageError(msg)
        found.append(TASKS[item] if isinstance(item, str) else item)
    names = [task.name for task in found]
    if not names or len(set(names)) < len(names):
        msg = f"tasks are {', '.join(names) or 'none'}; want each once. Example: buildings,shops"
        raise UsageError(msg)
    return found
