"""Which cell is to find which face, and what a wrong answer costs."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import slices
from .face_data import Batch
from .face_net import STRIDES

# The stride that is to find a face, by the longer side of its box in pixels;
# a face near a border is taught to both neighbours.
RANGES = ((0, 48), (36, 128), (96, 4096))
TAUGHT = 9  # cells a face at most
TOO_SMALL = 8  # pixels; such a face in a crop is left alone


def flat(maps: list[Tensor]) -> Tensor:
    """All cells of all grids: batch x cells x 6."""
    return torch.cat([m.float().flatten(2).transpose(1, 2) for m in maps], 1)


@functools.cache
def cells(width: int, height: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Corner of each cell in pixels (cells x 2), its stride, and the sizes (cells x 2) that it looks for."""
    places, strides, ranges = [], [], []
    for s, sizes in zip(STRIDES, RANGES, strict=True):
        ys, xs = torch.meshgrid(torch.arange(height // s), torch.arange(width // s), indexing="ij")
        places.append(torch.stack([xs, ys], -1).reshape(-1, 2) * s)
        strides.append(torch.full((len(places[-1]),), float(s)))
        ranges.append(torch.tensor(sizes, dtype=torch.float).expand(len(places[-1]), 2))
    return tuple(torch.cat(part).float().to(device) for part in (places, strides, ranges))


def boxes_of(rows: Tensor, places: Tensor, strides: Tensor) -> Tensor:
    """x0 y0 x1 y1 in pixels."""
    s = strides[:, None]
    centre = places + rows[..., 2:4] * s
    half = torch.exp(rows[..., 4:6].clamp(-5, 5)) * s / 2
    return torch.cat([centre - half, centre + half], -1)


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes that stand beside each other."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    either = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    return both / either.clamp(min=1e-6)


def box_loss(got: Tensor, want: Tensor) -> Tensor:
    """1 - IoU, plus how far the corners lie apart, in sizes of the true box."""
    size = (want[..., 2:] - want[..., :2]).clamp(min=1)
    apart = (got - want) / torch.cat([size, size], -1)
    return 1 - pair_iou(got, want) + F.smooth_l1_loss(apart, torch.zeros_like(apart), beta=0.1, reduction="none").mean(-1)


@torch.no_grad()
def assign(rows: Tensor, answer: Tensor, batch: Batch, grid: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """For each cell the box that it is to find, -1 for none and -2 for no opinion: batch x cells.

    A box asks the cells of its grids whose centre is near its own; of those the
    best nine by what they answer already (IoU and score) are taught, the others
    near it are left alone. Where two want a cell, the smaller one has fewer.
    """
    places, strides, ranges = grid
    middle = places + strides[:, None] / 2
    boxes = batch.boxes
    size = (boxes[..., 2:] - boxes[..., :2]).amax(-1)
    aside = torch.cat([batch.ignore, boxes * (size < TOO_SMALL)[..., None]], 1)
    low, high = aside[:, :, None, :2] - 4, aside[:, :, None, 2:] + 4
    marked = aside[..., 2] > aside[..., 0]
    ignored = (((middle > low) & (middle < high)).all(-1) & marked[..., None]).any(1)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    of_grid = (size[..., None] >= ranges[:, 0]) & (size[..., None] < ranges[:, 1]) & (size[..., None] >= TOO_SMALL)
    away = (middle - centre[:, :, None]).abs().amax(-1)
    reach = torch.maximum(0.25 * size[..., None], strides * 0.75)
    near = of_grid & (away <= reach)
    merit = pair_iou(answer[:, None], boxes[:, :, None]) + 0.3 * torch.sigmoid(rows[:, None, :, 0]) - 0.2 * away / reach
    merit = merit.masked_fill(~near, -9.0)
    last = merit.topk(min(TAUGHT, merit.shape[-1]), dim=-1).values[..., -1:]
    taught = near & (merit >= last)
    wanted = torch.where(taught, size[..., None], torch.full_like(merit, 1e9))
    smallest = wanted.min(1)
    target = torch.full_like(smallest.indices, -1)
    target = target.masked_fill(ignored | near.any(1), -2)
    return torch.where(smallest.values < 1e9, smallest.indices, target)


class Loss:
    """Focal cross-entropy for every cell; box and quality where a face is to be found, every face the same weight.

    With a teacher, the features of every cell are pulled towards the teacher's
    too, most where it sees a face: thousands of answers a picture instead of a
    few, which is what makes a small net learn in few steps. Only every
    `hinted`-th picture is shown to it, for it costs as much as a forward pass.
    `pull` is the weight: high from nothing, low once the net finds faces itself.
    """

    def __init__(self, teacher: nn.Module | None, pull: float, hinted: int) -> None:
        self.teacher, self.pull, self.hinted = teacher, pull, hinted

    def __call__(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        maps, hints = slices.half(net, batch.pixels)
        parts = taught(flat(maps), batch)
        if self.teacher is not None:
            parts["hint"] = self.pull * self._hint([h[:: self.hinted].float() for h in hints], batch.pixels[:: self.hinted])
        return parts

    def _hint(self, hints: list[Tensor], pixels: Tensor) -> Tensor:
        features, objects = slices.half(self.teacher, pixels)
        total = pixels.new_zeros(())
        for got, want, seen in zip(hints, features, objects * (len(features) // len(objects)), strict=True):
            want = F.batch_norm(want, None, None, training=True)  # each channel counts the same
            weight = 1 + 20 * seen
            total = total + ((got - want).square().mean(1, keepdim=True) * weight).sum() / weight.sum()
        return total / len(hints)


def taught(rows: Tensor, batch: Batch) -> dict[str, Tensor]:
    grid = cells(batch.pixels.shape[3], batch.pixels.shape[2], batch.pixels.device)
    answer = boxes_of(rows, grid[0], grid[1])
    target = assign(rows.detach(), answer.detach(), batch, grid)
    hit, score = target >= 0, rows[..., 0]
    probability = torch.sigmoid(score.detach())
    focus = torch.where(hit, 1 - probability, probability**2) * (target != -2)
    each = F.binary_cross_entropy_with_logits(score, hit.float(), reduction="none")
    parts = {"class": 2 * (each * focus).sum() / hit.sum().clamp(min=1)}

    # Cells that find nothing weigh nothing: to leave them out, a card would have to be asked how many they are.
    face = target.clamp(min=0)
    want = batch.boxes.gather(1, face[..., None].expand(-1, -1, 4))
    cells_of = torch.zeros(batch.boxes.shape[:2], device=rows.device).scatter_add_(1, face, hit.float())
    weight = hit / cells_of.gather(1, face).clamp(min=1)
    weight = weight / weight.sum().clamp(min=1)
    parts["box"] = 2 * (box_loss(answer, want) * weight).sum()
    overlap = pair_iou(answer.detach(), want)
    quality = F.binary_cross_entropy_with_logits(rows[..., 1], overlap, reduction="none")
    parts["quality"] = (quality * weight).sum()
    return parts
