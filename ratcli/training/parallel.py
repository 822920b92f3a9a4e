"""Training by several processes, started by `torchrun`: each takes its part of every batch.

A step of W processes equals a step of one process with a batch that is W times as large: gradients
are averaged over the processes, and so is whatever the loss needs of the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def is_started() -> bool:
    """Return whether `torchrun` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def join(device: torch.device) -> None:
    """Connect to the other processes.

    Args:
        device: where this process computes; NCCL connects GPUs, gloo anything else.
    """
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave() -> None:
    """Disconnect from the other processes."""
    if _is_connected():
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process; 0 if it is the only one."""
    return dist.get_rank() if _is_connected() else 0


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _is_connected() else 1


def local_device(name: str) -> str:
    """Return the device of this process: with several GPUs each process has one.

    Args:
        name: as the user gave it, `auto` or `cuda` for the process's own GPU.
    """
    if not is_started() or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace gradients by their mean over all processes."""
    if not _is_connected():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def mean(value: Tensor) -> Tensor:
    """Return the mean of a number over all processes."""
    if not _is_connected():
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world()


def total(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    if not _is_connected():
        return value
    summed = value.clone()
    dist.all_reduce(summed)
    return summed


def largest(value: Tensor) -> Tensor:
    """Return the largest of a number over all processes."""
    if not _is_connected():
        return value
    most = value.clone()
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return most


def any_of(flag: bool, device: torch.device) -> bool:
    """Return whether a flag is set in any process, so that all of them do the same."""
    if not _is_connected():
        return flag
    return bool(total(torch.tensor(float(flag), device=device)) > 0)


def _is_connected() -> bool:
    return dist.is_available() and dist.is_initialized()
