"""Crops of the pool's faces: drawn on the host, resampled in batches on the device that trains."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import pool
from .colour import colour
from .upload import upload

# How often a picture of each source is drawn.
WEIGHTS = {"wider": 2.0, "facemask": 1.2, "maskweb": 0.6, "ccp": 0.6, "aaf": 0.5, "cid22": 1.0}
NO_FACE = 0.9

# Sizes of faces in a crop: most of those looked for are small, and a few are
# larger than it.
SMALLEST, LARGEST = 10.0, 1.2
ENLARGED = 1.7  # beyond that a stored picture is only blur
FILLED = 0.7  # of a crop's side, at least, by the picture's short one

# Of a batch, crops put together from four: nothing else shrinks a stored
# picture far enough for its faces to be as small as those of a crowd.
MOSAICS = 0.5


@dataclass
class Batch:
    """Pixels are BGR 0..255; boxes x0 y0 x1 y1 in pixels of the crop, rows of zeros where there is none."""

    pixels: Tensor  # n x 3 x side x side
    boxes: Tensor  # n x most faces x 4
    ignore: Tensor  # n x most ignored x 4


def corners(entries: list[dict], key: str) -> np.ndarray:
    """The boxes of all pictures in one array, empty ones last."""
    most = max(1, *(len(e[key]) for e in entries))
    out = np.zeros((len(entries), most, 4), np.float32)
    for row, e in zip(out, entries, strict=True):
        b = np.array(e[key], np.float32).reshape(-1, 4)
        row[: len(b)] = np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], 1)
    return out


class Batches:
    """Endless square crops at all scales.

    The host draws all crops of a batch at once and never asks the device for
    anything: a card is told its next step while it is still at the last one.
    """

    def __init__(self, data: pool.Faces, side: int, size: int, device: str) -> None:
        self.side, self.size, self.device = side, size, device
        entries = [data.entries[i] for i in data.train]
        weights = np.array([NO_FACE if e["file"].startswith("noface") else WEIGHTS[pool.prefix(e["file"])] for e in entries])
        self.odds = weights / weights.sum()
        self.sizes = np.array([[e["width"], e["height"]] for e in entries], np.float32)
        self.counts = np.array([len(e["boxes"]) for e in entries])
        self.boxes, self.ignore = corners(entries, "boxes"), corners(entries, "ignore")
        square = np.zeros((len(entries), 3, pool.Faces.SIDE, pool.Faces.SIDE), np.uint8)
        for canvas, i in zip(square, data.train, strict=True):
            picture = data.picture(i)
            canvas[:, : picture.shape[0], : picture.shape[1]] = picture.transpose(2, 0, 1)
        self.full = torch.from_numpy(square).to(device)
        # Shrunk by two with an area filter, for crops that shrink.
        self.half = torch.cat([F.avg_pool2d(part.float(), 2).round().byte() for part in self.full.split(64)])

    def __call__(self, rng: np.random.Generator) -> Iterator[Batch]:
        joined = round(MOSAICS * self.size)
        while True:
            pixels, boxes, ignore = self._crops(rng, self.size - joined, self.side)
            if joined:
                quarters = self._crops(rng, 4 * joined, self.side // 2)
                pixels = torch.cat([pixels, tiled(quarters[0])])
                boxes, ignore = (stacked(a, beside(b, self.side // 2)) for a, b in ((boxes, quarters[1]), (ignore, quarters[2])))
            yield Batch(colour(rng, pixels).flip(1), upload(boxes, self.device), upload(ignore, self.device))

    def _crops(self, rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """RGB pixels, boxes and ignored boxes of square crops."""
        ids = rng.choice(len(self.odds), count, p=self.odds)
        drawn = windows(rng, self.sizes[ids], self.boxes[ids], self.counts[ids], side)
        # Those that shrink come first: they are taken from the smaller pictures.
        order = np.argsort(drawn[:, 0] >= 0.7, kind="stable")
        ids, drawn = ids[order], drawn[order]
        mirror = rng.random(count) < 0.5
        boxes, ignore = (placed(b[ids], drawn, mirror, side) for b in (self.boxes, self.ignore))
        return self._resample(ids, drawn, mirror, side), boxes, ignore

    def _resample(self, ids: np.ndarray, drawn: np.ndarray, mirror: np.ndarray, side: int) -> Tensor:
        """Black beyond the picture, as the canvas is."""
        small = int((drawn[:, 0] < 0.7).sum())
        out = []
        for stored, which in ((self.half, slice(0, small)), (self.full, slice(small, None))):
            scale, x, y = drawn[which].T
            n = len(scale)
            if n == 0:
                continue
            span = side / scale * 2 / pool.Faces.SIDE  # in the sampler's units, in which a picture is 2 wide
            theta = np.zeros((n, 2, 3), np.float32)
            theta[:, 0, 0] = span / 2 * np.where(mirror[which], -1, 1)
            theta[:, 1, 1] = span / 2
            theta[:, 0, 2] = x * 2 / pool.Faces.SIDE + span / 2 - 1
            theta[:, 1, 2] = y * 2 / pool.Faces.SIDE + span / 2 - 1
            grid = F.affine_grid(upload(theta, self.device), [n, 3, side, side], align_corners=False)
            taken = stored[upload(ids[which], self.device)].float()
            out.append(F.grid_sample(taken, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
        return torch.cat(out)


def windows(rng: np.random.Generator, sizes: np.ndarray, boxes: np.ndarray, counts: np.ndarray, side: int) -> np.ndarray:
    """Scale and left top corner of a crop of each picture (n x 3): mostly round one face, brought to a size drawn at random.

    A crop leaves its picture no further than it must: black teaches nothing.
    """
    n = len(sizes)
    least = FILLED * side / sizes.min(1)
    face = boxes[np.arange(n), rng.integers(np.maximum(counts, 1))]
    longer = (face[:, 2:] - face[:, :2]).max(1)
    target = np.exp(rng.uniform(np.log(SMALLEST), np.log(side * LARGEST), n))
    near = np.clip(target / np.maximum(longer, 1), least, np.maximum(least, ENLARGED))
    plain = np.maximum(least, np.exp(rng.uniform(np.log(0.5), np.log(ENLARGED), n)))
    led = (counts > 0) & (rng.random(n) < 0.8)
    scale = np.where(led, near, plain)
    span = (side / scale)[:, None]
    jitter = rng.uniform(-0.4, 0.4, (n, 2)) * np.maximum(0, span - longer[:, None])
    room = sizes - span
    at = np.where(led[:, None], (face[:, :2] + face[:, 2:] - span) / 2 + jitter, rng.random((n, 2)) * np.maximum(1, room))
    # Where the picture is the smaller, it lies anywhere in the crop.
    at = np.where(room > 0, np.clip(at, 0, np.maximum(0, room)), rng.random((n, 2)) * room)
    return np.concatenate([scale[:, None], at], 1).astype(np.float32)


def placed(boxes: np.ndarray, drawn: np.ndarray, mirror: np.ndarray, side: int) -> np.ndarray:
    """The boxes in the crops; those whose centre is outside become empty."""
    there = boxes[..., 2] > boxes[..., 0]
    moved = (boxes - drawn[:, None, [1, 2, 1, 2]]) * drawn[:, None, :1]
    turned = np.stack([side - moved[..., 2], moved[..., 1], side - moved[..., 0], moved[..., 3]], -1)
    moved = np.where(mirror[:, None, None], turned, moved)
    centre = (moved[..., :2] + moved[..., 2:]) / 2
    there &= ((centre > 0) & (centre < side)).all(-1)
    return moved.clip(0, side) * there[..., None]  # people mark what of a face is in the picture


def tiled(quarters: Tensor) -> Tensor:
    """Four crops each side by side and one above the other, as one of twice the side."""
    n, side = len(quarters) // 4, quarters.shape[-1]
    return quarters.view(n, 2, 2, 3, side, side).permute(0, 3, 1, 4, 2, 5).reshape(n, 3, 2 * side, 2 * side)


def beside(boxes: np.ndarray, side: int) -> np.ndarray:
    """The boxes of four crops each, moved to where tiled puts them."""
    corner = np.tile(np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float32), 2)
    there = boxes[..., 2:3] > boxes[..., 0:1]
    moved = boxes.reshape(-1, 4, *boxes.shape[1:]) + corner[:, None] * there.reshape(-1, 4, boxes.shape[1], 1)
    return moved.reshape(-1, 4 * boxes.shape[1], 4)


def stacked(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Both batches in one, each picture's boxes first and as few empty ones behind them as there must be."""
    most = max(a.shape[1], b.shape[1])
    out = np.concatenate([np.pad(x, ((0, 0), (0, most - x.shape[1]), (0, 0))) for x in (a, b)])
    there = out[..., 2] > out[..., 0]
    order = np.argsort(~there, 1, kind="stable")[:, : max(1, int(there.sum(1).max()))]
    return np.take_along_axis(out, order[..., None], 1)
