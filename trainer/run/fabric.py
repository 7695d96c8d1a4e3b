"""Open Lightning Fabric on the device of a run.

Processes are torchrun's: ``torchrun --nproc-per-node 2 -m geoindex train ...``. Without torchrun
there is one.
"""

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from geoindex.errors import MissingExtraError, UsageError
from trainer.config import DeviceConfig

#: Fabric's own class; untyped here, so that the package can be read without the extra
Fabric = Any
DEVICES = ("auto", "cpu", "cuda")
#: long for a thread that has a millisecond's work, and short after hours of training
_SECONDS_TO_LET_GO = 0.5


@contextmanager
def launched(config: DeviceConfig, device: str) -> Iterator[Fabric]:
    """Launch as :func:`launch` does, and leave the group of processes at the end.

    A process that ends inside its group is now and then aborted: gloo's threads let go of the
    last messages after they were answered, and need the interpreter for it, which may be gone
    (pytorch/pytorch#179291), or may be waiting for them.
    """
    was_in_group = dist.is_available() and dist.is_initialized()
    fabric = launch(config, device)
    yield fabric
    # after an error nothing is awaited: the other processes may never come
    fabric.barrier()
    if fabric.world_size > 1 and not was_in_group:
        time.sleep(_SECONDS_TO_LET_GO)
        dist.destroy_process_group()


def launch(config: DeviceConfig, device: str) -> Fabric:
    """Return a launched Fabric.

    Parameters
    ----------
    device
        ``"auto"`` takes a GPU where there is one.

    Raises
    ------
    UsageError
        If there is no such device.
    MissingExtraError
        If Lightning Fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric as LightningFabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise MissingExtraError(package="lightning-fabric", extra="train") from error
    if device not in DEVICES:
        msg = f"device is {device!r}; want one of {', '.join(DEVICES)}"
        raise UsageError(msg)
    if device == "cuda" and not torch.cuda.is_available():
        msg = "device is 'cuda', and torch sees no GPU here; want cpu, or a torch built for CUDA"
        raise UsageError(msg)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    num_devices = config.devices or int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    strategy: Any = "auto"
    if num_devices > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if "WORLD_SIZE" not in os.environ:
            msg = (
                f"devices is {num_devices}; start so many processes with: torchrun "
                f"--nproc-per-node {num_devices} -m geoindex train ..."
            )
            raise UsageError(msg)
        # a batch may ask for no geometry at all: a head is then unused in that step
        backend = "nccl" if device == "cuda" else "gloo"
        strategy = DDPStrategy(process_group_backend=backend, find_unused_parameters=True)
    # it says on every start that there is a GPU, or a larger library
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning_fabric")
        fabric = LightningFabric(
            accelerator=device, devices=num_devices, strategy=strategy, precision=config.precision
        )
        fabric.launch()
    return fabric
