"""One process or several, started by torchrun: who this one is, and what all of them agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# Rank 0 measures held-out clips and attacks alone, while the others wait.
PATIENCE = timedelta(hours=3)


def leads() -> bool:
    """Whether this process is the first of those that torchrun started, or the only one: it writes and reports."""
    return int(os.environ.get("RANK", 0)) == 0


class World:
    """The processes of a run. Entered, they are connected; without torchrun there is one and nothing to connect.

    Args:
        device: "cpu", or "cuda", of which each process takes its own.

    Raises:
        ValueError: there are more processes on this machine than GPUs.
    """

    def __init__(self, device: torch.device):
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        local = int(os.environ.get("LOCAL_RANK", 0))
        if self.size > 1 and device.type == "cuda":
            if local >= torch.cuda.device_count():
                raise ValueError(
                    f"process {local} of this machine has no GPU, there are {torch.cuda.device_count()}: give torchrun "
                    "--nproc_per_node no more than that, or --device cpu"
                )
            device = torch.device("cuda", local)
        self.device = device

    def __enter__(self) -> "World":
        if self.size > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)  # of barriers and page-locked memory, which name none
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=PATIENCE)
        return self

    def __exit__(self, *_):
        if self.size > 1:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as the loop calls it: its gradients become the mean over all processes.

        Running statistics are each process's own; they are estimated anew before anything is measured.
        """
        if self.size == 1:
            return model
        devices = [self.device.index] if self.device.type == "cuda" else None
        # The official network has convolutions that no gradient reaches.
        return DistributedDataParallel(model, devices, broadcast_buffers=False, find_unused_parameters=True)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all processes."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The first process goes through the block alone, the others after it: they find what it left on disk."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()
