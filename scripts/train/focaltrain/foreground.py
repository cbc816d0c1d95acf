"""Trains, exports and measures the foreground student."""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import pool, slices
from .colour import colour
from .export import export, pin
from .foreground_net import ForegroundExport, ForegroundNet

SHIPPED = pool.ROOT / "models" / "builtin" / "builtin-foreground"

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255

# How often a picture of each source is drawn. The pool is rich in people and
# clothes and thin in things; most of the things are in ecssd and imagenet.
WEIGHTS = {
    "ecssd": 3.0,
    "imagenet": 2.5,
    "imagenetdet": 2.5,
    "cid22": 2.0,
    "grocery": 1.5,
    "raccoon": 1.5,
    "wider": 1.5,
    "cat": 1.0,
    "maskweb": 1.0,
    "aaf": 0.8,
    "ccptruth": 0.8,
    "none": 0.7,
    "ccp": 0.5,
    "clothing": 0.5,
}


class Batches:
    """Endless augmented batches: pixels 0..255 and masks 0..1."""

    def __init__(self, data: pool.Foreground, side: int, size: int, device: str) -> None:
        self.side, self.size, self.device = side, size, device
        # A card takes the whole pool; the host's memory keeps what is in use.
        self.pixels = torch.from_numpy(data.pixels)
        if device != "cpu":
            self.pixels = self.pixels.to(device)
        kinds = [pool.prefix(data.names[i]) for i in data.train]
        weights = np.array([WEIGHTS[k] for k in kinds])
        self.odds = weights / weights.sum()
        self.train = np.array(data.train)
        self.empty = self.train[[k == "none" for k in kinds]]

    def __call__(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            side = int(rng.choice([self.side - 32, self.side, self.side, self.side + 32]))
            x = self._draw(rng, self.train[rng.choice(len(self.train), self.size, p=self.odds)], side)
            n = self.size // 4
            # Background for a quarter: half of them empty scenes, half other
            # pictures, whose own subject stays one.
            below = np.concatenate([rng.choice(self.empty, n // 2), rng.choice(self.train, n - n // 2, p=self.odds)])
            below = self._draw(rng, below, side)
            alpha = x[:n, 3:] / 255
            x[:n, :3] = x[:n, :3] * alpha + below[:, :3] * (1 - alpha)
            x[:n, 3:] = torch.maximum(x[:n, 3:], below[:, 3:])
            k = self.size // 16
            x[-k:] = torch.from_numpy(np.stack([blank(rng, side) for _ in range(k)])).to(self.device)
            yield colour(rng, x[:, :3]), x[:, 3:] / 255

    def _draw(self, rng: np.random.Generator, ids: np.ndarray, side: int) -> Tensor:
        """Crops, mirrors, stretches and turns a little, all in one resampling."""
        stored = self.pixels[torch.from_numpy(np.sort(ids)).to(self.device)].float()
        n = len(ids)
        zoom = rng.uniform(0.6, 1.05, n)
        stretch = np.exp(rng.uniform(-0.2, 0.2, n))
        sx, sy = np.minimum(zoom * stretch, 1.1), np.minimum(zoom / stretch, 1.1)
        angle = np.where(rng.random(n) < 0.4, rng.normal(0, 0.12, n), 0.0)
        mirror = rng.choice([-1.0, 1.0], n)
        theta = np.zeros((n, 2, 3), np.float32)
        theta[:, 0, 0] = np.cos(angle) * sx * mirror
        theta[:, 0, 1] = -np.sin(angle) * sy
        theta[:, 1, 0] = np.sin(angle) * sx * mirror
        theta[:, 1, 1] = np.cos(angle) * sy
        theta[:, 0, 2] = rng.uniform(-1, 1, n) * np.maximum(0, 1 - sx)
        theta[:, 1, 2] = rng.uniform(-1, 1, n) * np.maximum(0, 1 - sy)
        grid = F.affine_grid(torch.from_numpy(theta).to(self.device), [n, 4, side, side], align_corners=False)
        drawn = F.grid_sample(stored, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        return drawn[torch.from_numpy(rng.permutation(n)).to(self.device)]


def blank(rng: np.random.Generator, side: int) -> np.ndarray:
    """A picture of nothing: one colour or a fade between two, with noise on it at times; or only noise."""
    out = np.zeros((4, side, side), np.float32)
    slope = rng.normal(0, 1, 2) * (rng.random() < 0.4)
    ramp = np.add.outer(slope[0] * np.linspace(-1, 1, side), slope[1] * np.linspace(-1, 1, side))
    a, b = rng.uniform(0, 255, (2, 3, 1, 1))
    if rng.random() < 0.4:  # grey, black and white are the most frequent
        a[:] = rng.choice([0, 255, rng.uniform(0, 255)])
    out[:3] = a + (b - a) * np.clip(ramp, 0, 1)
    kind = rng.random()
    if kind < 0.25:
        out[:3] = rng.uniform(0, 255, (3, side, side))
    elif kind < 0.5:
        out[:3] += rng.normal(0, rng.uniform(2, 50), (rng.choice([1, 3]), side, side))
    return out


def normal(pixels: Tensor) -> Tensor:
    return (pixels - MEAN.to(pixels.device)) / STD.to(pixels.device)


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy for every pixel, soft IoU for the subject as a whole."""
    probability = torch.sigmoid(logits)
    both = (probability * truth).sum((1, 2, 3))
    either = (probability + truth - probability * truth).sum((1, 2, 3))
    subject = (truth.sum((1, 2, 3)) > 0.01 * truth[0].numel()).float()
    iou = 1 - (both + 1) / (either + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + (iou * subject).mean()


def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    pixels, truth = batch
    fine, coarse = (logits.float() for logits in slices.half(net, normal(pixels)))
    half = F.avg_pool2d(truth, 2)
    return {"fine": mask_loss(fine, half), "coarse": 0.4 * mask_loss(coarse, F.avg_pool2d(truth, 16))}


@torch.no_grad()
def check(net: nn.Module, data: pool.Foreground, side: int) -> dict[str, float]:
    """Mean IoU on the pool's val pictures that have a subject, people and things apart."""
    people = {"ccp", "ccptruth", "aaf", "maskweb", "wider"}
    found: dict[str, list[float]] = {"people": [], "things": []}
    device = next(net.parameters()).device
    for start in range(0, len(data.val), 32):
        ids = data.val[start : start + 32]
        stored = torch.from_numpy(data.pixels[ids]).to(device).float()
        x = F.interpolate(stored[:, :3], size=(side, side), mode="bilinear", align_corners=False, antialias=True)
        fine, _ = net(normal(x))
        fine = F.interpolate(fine, size=stored.shape[2:], mode="bilinear", align_corners=False)
        got, want = fine[:, 0] > 0, stored[:, 3] >= 128
        for k, i in enumerate(ids):
            if want[k].any():
                iou = (got[k] & want[k]).sum().item() / (got[k] | want[k]).sum().item()
                found["people" if pool.prefix(data.names[i]) in people else "things"].append(iou)
    return {k: round(float(np.mean(v)), 4) for k, v in found.items()}


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__)
    slices.arguments(a, SHIPPED, "foreground")
    a.add_argument("--side", type=int, default=128, help="pictures train at this side, 32 less and 32 more")
    a.add_argument("--batch", type=int, default=32)
    a.add_argument("--export-side", type=int, default=224)
    a.add_argument("--export-smaller", type=int, default=160, help="the second size that the file looks at the picture in")
    o = a.parse_args()
    slices.begin(o)
    data = pool.Foreground()
    run = slices.Run.open(ForegroundNet(), o.runs, o.weights, decay=0.02, device=o.device)
    if o.steps > 0:
        batches = Batches(data, o.side, o.batch, o.device)
        slices.train(run, slices.Slice.of(o), batches, loss, lambda net: check(net, data, o.export_side))
    if o.ship:
        example = torch.zeros(2, 3, o.export_side, o.export_side)
        export(
            ForegroundExport(run.average.net.cpu(), o.export_side, o.export_smaller).eval(),
            example,
            SHIPPED / "model.onnx",
            ["mask"],
            free_sides=False,
        )
        pin(SHIPPED / "model.onnx")
        run.save_small(o.weights)


if __name__ == "__main__":
    main()
