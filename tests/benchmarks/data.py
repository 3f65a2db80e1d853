"""An epoch over MNIST-shaped data, and the memory of processes that hold it at the same time.

Ours are the cached tensors, batched by index; theirs a dataset that turns each sample from bytes into a
normalized tensor, as torchvision's MNIST does with ToTensor and Normalize (no PIL between), behind a DataLoader.
Both go through the same images in one process with one thread, in batches of 64, without a model.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hpo.data.idx import read_idx
from hpo.data.idx_set import FILES
from hpo.data.mnist import Mnist
from hpo.training.batches import make_batches
from tests.benchmarks.measure import NUM_RUNS, median, scratch, show, verdict

GOAL_EPOCH = 0.25
# the same pages for all, and a little for each process's own bookkeeping
GOAL_HELD = 1.05

NUM_TRAIN, NUM_T10K, BATCH_SIZE = 60_000, 10_000, 64
NUM_PROCESSES = 4
MEAN, DEVIATION = 0.1307, 0.3081
_BYTES_A_MIB = 1 << 20

HOLD = """
import sys
import torch
from hpo.data.mnist import Mnist

splits = Mnist(sys.argv[1]).load(None)
# every page of it
print(sum(float(tensor.sum()) for part in (splits.train, splits.val) for tensor in part.tensors), flush=True)
sys.stdin.read()
"""


class Transformed(Dataset[tuple[Tensor, int]]):
    """Bytes in memory, transformed sample by sample."""

    def __init__(self, root: Path) -> None:
        self.images = read_idx(root / FILES[0], 3)
        self.labels = read_idx(root / FILES[1], 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images[index].copy())[None].to(torch.float32).div(255)
        return image.sub_(MEAN).div_(DEVIATION), int(self.labels[index])


def main() -> None:
    torch.set_num_threads(1)
    with scratch() as folder:
        os.environ["HPO_CACHE_DIR"] = str(folder / "cache")
        _write_images(folder)
        first, again = (_seconds(lambda: Mnist(str(folder)).load(None)) for _ in range(2))
        epochs = _epochs(folder)
        ours, theirs = (median(times) for times in epochs.values())
        rows = [
            ("loading for the first time (decoded, written), seconds", f"{first:.2f}"),
            ("loading again, seconds", f"{again:.2f}"),
            *((f"{name}: an epoch, seconds", f"{median(times):.2f}") for name, times in epochs.items()),
            ("ours / per-sample transforms in a DataLoader", verdict(ours / theirs, GOAL_EPOCH)),
        ]
        if sys.platform.startswith("linux"):
            rows += _held(folder)
        show(f"data: {NUM_TRAIN} images of 28x28, batches of {BATCH_SIZE}, median of {NUM_RUNS}", rows)


def _write_images(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name, count in zip(FILES, (NUM_TRAIN, NUM_TRAIN, NUM_T10K, NUM_T10K), strict=True):
        shape, high = ((count, 28, 28), 256) if "images" in name else ((count,), 10)
        array = random.integers(0, high, shape, dtype=np.uint8)
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *shape)
        (folder / name).write_bytes(header + array.tobytes())


def _epochs(folder: Path) -> dict[str, list[float]]:
    batches = make_batches(
        Mnist(str(folder)).load(None).train, torch.device("cpu"), batch_size=BATCH_SIZE, shuffle_seed=0
    )
    loader = DataLoader(Transformed(folder), batch_size=BATCH_SIZE, shuffle=True)
    times: dict[str, list[float]] = {"ours": [], "per-sample transforms": []}
    for run in range(NUM_RUNS):
        times["ours"].append(_seconds(lambda run=run: _go_through(batches.epoch(run))))
        times["per-sample transforms"].append(_seconds(lambda: _go_through(loader)))
    return times


def _go_through(batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    num = sum(len(labels) for _, labels in batches)
    assert num == NUM_TRAIN


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _held(folder: Path) -> list[tuple[str, str]]:
    """The proportional set size of the cached arrays in processes that have read all of them."""
    held = {num: median([_held_mib(folder, num) for _ in range(NUM_RUNS)]) for num in (1, NUM_PROCESSES)}
    return [
        *((f"the data in {num} process{'es' * (num > 1)}: PSS, MiB", f"{mib:.0f}") for num, mib in held.items()),
        (f"in {NUM_PROCESSES} processes / in 1", verdict(held[NUM_PROCESSES] / held[1], GOAL_HELD)),
    ]


def _held_mib(folder: Path, num: int) -> float:
    command = [sys.executable, "-c", HOLD, str(folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(num)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline()
    regions = (region for process in processes for region in psutil.Process(process.pid).memory_maps())
    mib = sum(region.pss for region in regions if region.path.startswith(str(folder))) / _BYTES_A_MIB
    for process in processes:
        process.communicate()
    return mib


if __name__ == "__main__":
    main()
