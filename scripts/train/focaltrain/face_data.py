"""Crops of the pool's faces: drawn on the host, resampled in batches on the device that trains."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import pool
from .colour import colour

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
MOSAICS = 0.4


@dataclass
class Batch:
    """Pixels are BGR 0..255; boxes x0 y0 x1 y1 in pixels of the crop, rows of zeros where there is none."""

    pixels: Tensor  # n x 3 x side x side
    boxes: Tensor  # n x most faces x 4
    ignore: Tensor  # n x most ignored x 4


def corners(entries: list[dict], key: str) -> Tensor:
    """The boxes of all pictures in one tensor, empty ones last."""
    most = max(1, *(len(e[key]) for e in entries))
    out = np.zeros((len(entries), most, 4), np.float32)
    for row, e in zip(out, entries, strict=True):
        b = np.array(e[key], np.float32).reshape(-1, 4)
        row[: len(b)] = np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], 1)
    return torch.from_numpy(out)


class Batches:
    """Endless square crops at all scales."""

    def __init__(self, data: pool.Faces, side: int, size: int, device: str) -> None:
        self.side, self.size, self.device = side, size, device
        self.entries = [data.entries[i] for i in data.train]
        weights = np.array([NO_FACE if e["file"].startswith("noface") else WEIGHTS[pool.prefix(e["file"])] for e in self.entries])
        self.odds = weights / weights.sum()
        self.boxes, self.ignore = (corners(self.entries, key).to(device) for key in ("boxes", "ignore"))
        square = np.zeros((len(self.entries), 3, pool.Faces.SIDE, pool.Faces.SIDE), np.uint8)
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
            yield Batch(colour(rng, pixels).flip(1), boxes, ignore)

    def _crops(self, rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """RGB pixels, boxes and ignored boxes of square crops."""
        ids = rng.choice(len(self.entries), count, p=self.odds)
        windows = np.array([window(rng, self.entries[i], side) for i in ids], np.float32)
        # Those that shrink come first: they are taken from the smaller pictures.
        order = np.argsort(windows[:, 0] >= 0.7, kind="stable")
        ids, windows = ids[order], windows[order]
        mirror = rng.random(count) < 0.5
        pixels = self._resample(ids, windows, mirror, side)
        at = torch.from_numpy(ids).to(self.device)
        w, m = torch.from_numpy(windows).to(self.device), torch.from_numpy(mirror).to(self.device)
        return pixels, placed(self.boxes[at], w, m, side), placed(self.ignore[at], w, m, side)

    def _resample(self, ids: np.ndarray, windows: np.ndarray, mirror: np.ndarray, side: int) -> Tensor:
        """Black beyond the picture, as the canvas is."""
        small = int((windows[:, 0] < 0.7).sum())
        out = []
        for stored, which in ((self.half, slice(0, small)), (self.full, slice(small, None))):
            scale, x, y = windows[which].T
            n = len(scale)
            if n == 0:
                continue
            span = side / scale * 2 / pool.Faces.SIDE  # in the sampler's units, in which a picture is 2 wide
            theta = np.zeros((n, 2, 3), np.float32)
            theta[:, 0, 0] = span / 2 * np.where(mirror[which], -1, 1)
            theta[:, 1, 1] = span / 2
            theta[:, 0, 2] = x * 2 / pool.Faces.SIDE + span / 2 - 1
            theta[:, 1, 2] = y * 2 / pool.Faces.SIDE + span / 2 - 1
            grid = F.affine_grid(torch.from_numpy(theta).to(self.device), [n, 3, side, side], align_corners=False)
            taken = stored[torch.from_numpy(ids[which]).to(self.device)].float()
            out.append(F.grid_sample(taken, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
        return torch.cat(out)


def window(rng: np.random.Generator, entry: dict, side: int) -> tuple[float, float, float]:
    """Scale and left top corner of a crop: mostly round one face, brought to a size drawn at random.

    The crop leaves the picture no further than it must: black teaches nothing.
    """
    width, height, boxes = entry["width"], entry["height"], entry["boxes"]
    least = FILLED * side / min(height, width)
    if len(boxes) and rng.random() < 0.8:
        x, y, w, h = boxes[rng.integers(len(boxes))]
        target = np.exp(rng.uniform(np.log(SMALLEST), np.log(side * LARGEST)))
        scale = float(np.clip(target / max(w, h), least, max(least, ENLARGED)))
        span = side / scale
        jitter = rng.uniform(-0.4, 0.4, 2) * max(0.0, span - max(w, h))
        x, y = x + w / 2 + jitter[0] - span / 2, y + h / 2 + jitter[1] - span / 2
    else:
        scale = max(least, float(np.exp(rng.uniform(np.log(0.5), np.log(ENLARGED)))))
        span = side / scale
        x, y = rng.uniform(0, max(1, width - span)), rng.uniform(0, max(1, height - span))
    return scale, within(rng, x, width - span), within(rng, y, height - span)


def placed(boxes: Tensor, windows: Tensor, mirror: Tensor, side: int) -> Tensor:
    """The boxes in the crop; those whose centre is outside it are left out, and columns that are empty throughout."""
    there = boxes[..., 2] > boxes[..., 0]
    moved = (boxes - windows[:, None, [1, 2, 1, 2]]) * windows[:, None, :1]
    turned = torch.stack([side - moved[..., 2], moved[..., 1], side - moved[..., 0], moved[..., 3]], -1)
    moved = torch.where(mirror[:, None, None], turned, moved)
    centre = (moved[..., :2] + moved[..., 2:]) / 2
    there &= ((centre > 0) & (centre < side)).all(-1)
    moved = moved.clamp(0, side) * there[..., None]  # people mark what of a face is in the picture
    order = torch.argsort(there.int(), 1, descending=True)[:, : max(1, int(there.sum(1).max()))]
    return moved.gather(1, order[..., None].expand(-1, -1, 4))


def tiled(quarters: Tensor) -> Tensor:
    """Four crops each side by side and one above the other, as one of twice the side."""
    n, side = len(quarters) // 4, quarters.shape[-1]
    return quarters.view(n, 2, 2, 3, side, side).permute(0, 3, 1, 4, 2, 5).reshape(n, 3, 2 * side, 2 * side)


def beside(boxes: Tensor, side: int) -> Tensor:
    """The boxes of four crops each, moved to where tiled puts them."""
    corner = torch.tensor([[0, 0], [side, 0], [0, side], [side, side]], device=boxes.device).repeat(1, 2)
    there = (boxes[..., 2:3] > boxes[..., 0:1]).float()
    moved = boxes.view(-1, 4, *boxes.shape[1:]) + corner[:, None] * there.view(-1, 4, boxes.shape[1], 1)
    return moved.flatten(1, 2)


def stacked(a: Tensor, b: Tensor) -> Tensor:
    """Both batches in one, the one with fewer boxes a picture filled up with empty ones."""
    most = max(a.shape[1], b.shape[1])
    return torch.cat([F.pad(x, (0, 0, 0, most - x.shape[1])) for x in (a, b)])


def within(rng: np.random.Generator, at: float, room: float) -> float:
    """Where a crop begins: at `at` as far as there is room, anywhere where the picture is the smaller."""
    return float(np.clip(at, 0, room)) if room > 0 else float(rng.uniform(room, 0))
