"""Which tasks are there? One file a task; `geoindex.evaluation.tasks.base` says what one promises.

A new file is added to `_MODULES`; a task of your own need not be here (see `base`).
"""

from collections.abc import Iterable

from geoindex.errors import UsageError
from geoindex.evaluation.tasks import (
    amenities,
    amenity_class,
    bridges,
    building_class,
    buildings,
    car_bridges,
    land_use,
    max_speed,
    road_class,
    road_speed,
    shops,
    traffic_signals,
)
from geoindex.evaluation.tasks.base import Labels, Task

__all__ = ["TASKS", "Labels", "Task", "find_tasks"]

_MODULES = (
    traffic_signals,
    buildings,
    max_speed,
    bridges,
    car_bridges,
    shops,
    amenities,
    land_use,
    road_class,
    building_class,
    amenity_class,
    road_speed,
)
#: All tasks, by name: those of cells first.
TASKS: dict[str, Task] = {task.name: task for module in _MODULES for task in module.TASKS}


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
