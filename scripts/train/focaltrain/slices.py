"""Training in slices: each goes on from the weights that the last one saved."""

import argparse
import copy
import csv
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import pool


@dataclass
class Slice:
    """How long to train and how fast to learn.

    The rate goes from `rate` to `rate_end` along half a cosine: equal for a
    plain slice, falling for the last one before an export.
    """

    steps: int
    rate: float
    rate_end: float
    seed: int
    minutes: float = 1e9  # stop here even if steps are left
    warmup: int = 0
    every: int = 250  # steps between measurements, which also save

    @classmethod
    def of(cls, o: argparse.Namespace) -> "Slice":
        return cls(o.steps, o.rate, o.rate_end, o.seed, o.minutes, o.warmup, o.every)

    def rate_at(self, progress: float, step: int) -> float:
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        rate = self.rate_end + (self.rate - self.rate_end) * falling
        return rate * min(1.0, (step + 1) / max(1, self.warmup))


class Average:
    """Exponential mean of the weights, which is what is exported."""

    def __init__(self, net: nn.Module, decay: float = 0.998) -> None:
        self.net = copy.deepcopy(net).eval()
        self.decay = decay
        pairs = zip(self.net.state_dict().values(), net.state_dict().values(), strict=True)
        self.pairs = [pair for pair in pairs if pair[0].is_floating_point()]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        means, nows = (list(side) for side in zip(*self.pairs, strict=True))
        torch._foreach_mul_(means, decay)
        torch._foreach_add_(means, nows, alpha=1 - decay)


def arguments(a: argparse.ArgumentParser, shipped: Path, name: str) -> None:
    """The switches that both students have."""
    a.add_argument("--steps", type=int, default=1_000_000, help="end the slice after so many; 0: only ship")
    a.add_argument("--minutes", type=float, default=100, help="end the slice here even if steps are left")
    a.add_argument("--rate", type=float, default=3e-3)
    a.add_argument("--rate-end", type=float, default=1e-5, help="equal to --rate: a slice that others follow")
    a.add_argument("--warmup", type=int, default=0)
    a.add_argument("--every", type=int, default=250, help="measure and save every so many steps")
    a.add_argument("--seed", type=int, default=6)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a.add_argument("--weights", type=Path, default=shipped / "resume.pt")
    a.add_argument("--runs", type=Path, default=pool.CACHE / f"{name}-run")
    a.add_argument("--ship", action="store_true", help="when the slice has ended, write model.onnx and the weights to resume from")


def begin(o: argparse.Namespace) -> None:
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def half(net: nn.Module, pixels: Tensor) -> list[Tensor]:
    """What the network says in bfloat16, which takes a quarter less time, on processors that have it too."""
    with torch.autocast(pixels.device.type, torch.bfloat16):
        return net(pixels)


@dataclass
class Run:
    """A network on its way: what a slice starts from and leaves behind."""

    net: nn.Module
    average: Average
    optimiser: torch.optim.Optimizer
    step: int
    folder: Path

    @classmethod
    def open(
        cls, net: nn.Module, folder: Path, weights: Path, decay: float, device: str, layout: torch.memory_format = torch.channels_last
    ) -> "Run":
        """Goes on from the folder's checkpoint, else from committed weights, else from nothing.

        All that the network computes is laid out as its weights are: on the CPU
        a step takes half the time with the channels last.
        """
        folder.mkdir(parents=True, exist_ok=True)
        net.to(device, memory_format=layout)
        checkpoint = folder / "last.pt"
        saved = torch.load(checkpoint, map_location=device) if checkpoint.exists() else None
        if saved is None and weights.exists():
            saved = torch.load(weights, map_location=device)
        if saved is not None:
            net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in saved["mean"].items()})
        average = Average(net)
        if saved is not None and "net" in saved:
            net.load_state_dict(saved["net"])
        decayed = [p for p in net.parameters() if p.ndim > 1]
        plain = [p for p in net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
        # On a card all weights move in one go.
        optimiser = torch.optim.AdamW(groups, lr=1e-3, **({"fused": True} if torch.device(device).type == "cuda" else {}))
        if saved is not None and "optimiser" in saved:
            optimiser.load_state_dict(saved["optimiser"])
        return cls(net, average, optimiser, saved["step"] if saved else 0, folder)

    def save(self) -> None:
        state = {
            "net": self.net.state_dict(),
            "mean": self.average.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        _write(state, self.folder / "last.pt")
        self._save_mean(self.folder / "resume.pt")

    def _save_mean(self, path: Path) -> None:
        mean = {k: v.cpu().half() if v.is_floating_point() else v.cpu() for k, v in self.average.net.state_dict().items()}
        _write({"mean": mean, "step": self.step}, path)

    def save_small(self, path: Path) -> None:
        """What the repository keeps: the mean weights in half precision, and beside them the whole log so far."""
        self._save_mean(path)
        _append(self.folder / "log.csv", path.parent / "log.csv")


def train(
    run: Run,
    plan: Slice,
    batches: Callable[[np.random.Generator], Iterator],
    loss: Callable[[nn.Module, object], dict[str, Tensor]],
    check: Callable[[nn.Module], dict[str, float]],
) -> None:
    """One slice. Every so many steps it measures, saves and writes a line of log.csv; SIGTERM ends it early, with all of that."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    torch.manual_seed(plan.seed + run.step)
    source = batches(np.random.default_rng([plan.seed, run.step]))
    begun, first = time.monotonic(), run.step
    resumed = begun
    sums: dict[str, Tensor] = {}
    count = 0
    while True:
        minutes = (time.monotonic() - begun) / 60
        progress = max((run.step - first) / plan.steps, minutes / plan.minutes)
        done = progress >= 1 or bool(asked)
        if count and (done or run.step % plan.every == 0):
            line = {"step": run.step, "minutes": round(minutes, 2)}
            line |= {k: round(v.item() / count, 4) for k, v in sums.items()}
            pace = count / (time.monotonic() - resumed)
            line |= check(run.average.net)
            _log(run.folder / "log.csv", line, f"({pace:.2f} steps/s)")
            run.save()
            sums, count, resumed = {}, 0, time.monotonic()
        if done:
            signal.signal(signal.SIGTERM, before)
            return
        for group in run.optimiser.param_groups:
            group["lr"] = plan.rate_at(progress, run.step - first)
        run.net.train()
        parts = loss(run.net, next(source))
        total = sum(parts.values())
        run.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(run.net.parameters(), 5.0)
        run.optimiser.step()
        run.step += 1
        run.average.follow(run.step)
        for k, v in parts.items():
            sums[k] = sums.get(k, 0) + v.detach()
        count += 1


def _write(state: dict, path: Path) -> None:
    """The whole file or the one before."""
    fresh = path.with_name(path.name + ".new")
    torch.save(state, fresh)
    fresh.rename(path)


def _append(fresh: Path, kept: Path) -> None:
    """Adds the lines of a run that the kept log has not got yet; a column that one of the two lacks stays empty."""
    lines: list[dict[str, str]] = []
    for path in (kept, fresh):
        if path.exists():
            with path.open(newline="") as f:
                last = int(lines[-1]["step"]) if lines else -1
                lines += [line for line in csv.DictReader(f) if int(line["step"]) > last]
    columns = list(dict.fromkeys(column for line in lines for column in line))
    with kept.open("w", newline="") as f:
        writer = csv.DictWriter(f, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _log(path: Path, line: dict[str, float], remark: str) -> None:
    new = not path.exists()
    with path.open("a", newline="") as f:
        writer = csv.DictWriter(f, fieldnames=list(line))
        if new:
            writer.writeheader()
        writer.writerow(line)
    print(" ".join(f"{k}={v}" for k, v in line.items()), remark, flush=True)
