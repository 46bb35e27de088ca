"""What several processes of one run need from each other: counts, sums, averaged gradients.

In one process every function here is the identity, so callers need no second path.
"""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed as dist

S = TypeVar("S")
T = TypeVar("T")

_PATIENCE = timedelta(days=7)  # while the first process explains images; should it fail, torchrun ends those that wait


@contextmanager
def joined() -> Iterator[None]:
    """One of the processes that `torchrun` started, if it did, from the beginning of a run to its end."""
    join()
    try:
        yield
    except BaseException as error:
        if dist.is_available() and dist.is_initialized():
            _let_go(error)
        raise
    finally:
        leave()


def join() -> None:
    """Join the processes that `torchrun` started, if it did; each takes the accelerator of its local rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")


def leave() -> None:
    """Part from the other processes at the end of a run, with nothing left that belongs to their group.

    A model that DDP wrapped and a trainer in a ring of references outlive the run. Freed behind the group, DDP drops
    the last reference to it with Python's lock in hand; the group waits for its threads, one of them for the lock, and
    the process never ends.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()


def _let_go(error: BaseException | None) -> None:
    """Clear the variables of the frames that an error came through: the trainer is among them."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def is_first() -> bool:
    """Whether this process speaks for the run; also before `join` and behind `leave`."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK") == "0"


def wait() -> None:
    """Until all processes are here; one that fails is ended by `torchrun` together with the others."""
    if world_size() > 1:
        dist.barrier()


def world_size() -> int:
    """Number of processes of the run; 1 outside `torchrun`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether parameters live in pieces on several processes, so that every forward pass is a joint one.

    True for FSDP2 (DTensor parameters) and DeepSpeed ZeRO-3; False for DDP, whose processes hold the whole model.
    """
    from torch.distributed.tensor import DTensor

    return world_size() > 1 and any(isinstance(p, DTensor) or hasattr(p, "ds_id") for p in model.parameters())


def reshard(model: torch.nn.Module) -> None:
    """Give back what the last forward pass gathered: a sharded model shows its pieces as parameters again."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def shared_out(items: Sequence[S], work: Callable[[Sequence[S]], Sequence[T]], *, jointly: bool) -> list[T]:
    """The result of each item, in their order, on every process; each works on its share of the items.

    Args:
        items: the same on all processes.
        work: gives one result an item.
        jointly: all processes work on all items: a sharded model can only be read by all of them together.
    """
    if jointly or world_size() == 1:
        return list(work(items))
    own = range(rank(), len(items), world_size())
    results = zip(own, work([items[i] for i in own]), strict=True)
    by_place = {place: result for part in gathered(dict(results)) for place, result in part.items()}
    return [by_place[place] for place in range(len(items))]


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, for all of them: for work that leaves files behind, and may take hours."""
    if world_size() == 1:
        return make()
    patient = dist.new_group(backend="gloo", timeout=_PATIENCE)
    found: list[Any] = [make() if rank() == 0 else None]
    dist.broadcast_object_list(found, group=patient)
    dist.destroy_process_group(patient)
    return found[0]


def gathered(value: Any) -> list[Any]:
    """What every process holds, in the order of their ranks."""
    if world_size() == 1:
        return [value]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, value)
    return found


def summed(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums over all processes."""
    return _reduced(values, device, dist.ReduceOp.SUM if world_size() > 1 else None)


def largest(value: float, device: torch.device) -> float:
    """The largest of the processes' values; of flags: whether any is set."""
    return _reduced([value], device, dist.ReduceOp.MAX if world_size() > 1 else None)[0]


def _reduced(values: Sequence[float], device: torch.device, how: Any) -> list[float]:
    if how is None:
        return list(values)
    # Apple's accelerator has no float64, and no process groups either.
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor, op=how)
    return tensor.tolist()


@torch.no_grad()
def sum_gradients(parameters: Iterable[torch.nn.Parameter], device: torch.device) -> None:
    """Add up the gradients of all processes, once a step: each holds its share of one global loss.

    DistributedDataParallel reduces during the last backward pass, which ties every process to the same number of
    passes and leaves the others waiting where one runs out of memory. A step of reinforcement takes so much longer
    than one exchange of gradients that there is nothing to hide it behind. A parameter without gradient on all
    processes keeps none, as in one process.
    """
    if world_size() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    has_gradient = torch.tensor([p.grad is not None for p in trained], dtype=torch.uint8, device=device)
    dist.all_reduce(has_gradient, op=dist.ReduceOp.MAX)
    work = []
    for parameter, has in zip(trained, has_gradient.tolist(), strict=True):
        if has:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            work.append(dist.all_reduce(parameter.grad, async_op=True))
    for handle in work:
        handle.wait()
