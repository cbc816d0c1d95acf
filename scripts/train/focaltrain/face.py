"""Trains, exports and measures the face student."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import pool, slices
from .export import export, pin
from .face_net import STRIDES, FaceExport, FaceNet
from .foreground import colour

SHIPPED = pool.ROOT / "models" / "candidates" / "builtin-face"

# How often a picture of each source is drawn.
WEIGHTS = {"wider": 2.0, "facemask": 1.2, "maskweb": 0.6, "ccp": 0.6, "aaf": 0.5, "cid22": 1.0}
NO_FACE = 0.9

# The stride that is to find a face, by the longer side of its box in pixels;
# a face near a border is taught to both neighbours.
RANGES = ((0, 48), (36, 128), (96, 4096))


def flat(maps: list[Tensor]) -> Tensor:
    """All cells of all grids: batch x cells x 6."""
    return torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)


def cells(side_x: int, side_y: int) -> tuple[Tensor, Tensor, Tensor]:
    """Corner of each cell in pixels (cells x 2), its stride, and which grid it is of."""
    corners, strides, grids = [], [], []
    for g, s in enumerate(STRIDES):
        ys, xs = torch.meshgrid(torch.arange(side_y // s), torch.arange(side_x // s), indexing="ij")
        corners.append(torch.stack([xs, ys], -1).reshape(-1, 2) * s)
        strides.append(torch.full((len(corners[-1]),), float(s)))
        grids.append(torch.full((len(corners[-1]),), g))
    return torch.cat(corners).float(), torch.cat(strides), torch.cat(grids)


def boxes_of(rows: Tensor, corners: Tensor, strides: Tensor) -> Tensor:
    """x0 y0 x1 y1 in pixels."""
    s = strides[:, None]
    centre = corners + rows[..., 2:4] * s
    half = torch.exp(rows[..., 4:6].clamp(-5, 5)) * s / 2
    return torch.cat([centre - half, centre + half], -1)


class Batches:
    """Endless square crops at all scales: BGR 0..255, boxes, boxes to ignore."""

    def __init__(self, data: pool.Faces, side: int, size: int) -> None:
        self.data, self.side, self.size = data, side, size
        entries = [data.entries[i] for i in data.train]
        weights = np.array([NO_FACE if e["file"].startswith("noface") else WEIGHTS[pool.prefix(e["file"])] for e in entries])
        self.odds = weights / weights.sum()

    def __call__(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, list[Tensor], list[Tensor]]]:
        while True:
            chosen = rng.choice(len(self.data.train), self.size, p=self.odds)
            crops = [self._crop(rng, self.data.train[i]) for i in chosen]
            pixels = torch.cat([c[0] for c in crops])
            pixels = colour(rng, pixels).flip(1)
            yield pixels, [c[1] for c in crops], [c[2] for c in crops]

    def _crop(self, rng: np.random.Generator, i: int) -> tuple[Tensor, Tensor, Tensor]:
        entry = self.data.entries[i]
        picture = self.data.picture(i)
        boxes = np.array(entry["boxes"], np.float32).reshape(-1, 4)
        ignore = np.array(entry["ignore"], np.float32).reshape(-1, 4)
        scale, x, y = self._window(rng, picture.shape, boxes)
        theta = np.float32([[scale, 0, x], [0, scale, y]])
        mirror = rng.random() < 0.5
        pixels = self._resample(picture, theta, mirror)
        return pixels, *(self._place(b, theta, mirror) for b in (boxes, ignore))

    def _window(self, rng: np.random.Generator, shape: tuple, boxes: np.ndarray) -> tuple[float, float, float]:
        """Scale and left top corner of a crop: mostly round one face, brought to a size drawn at random.

        The picture fills at least three quarters of a side, and the crop leaves
        it no further than it must: black teaches nothing.
        """
        height, width = shape[:2]
        least = 0.75 * self.side / max(height, width)
        if len(boxes) and rng.random() < 0.8:
            x, y, w, h = boxes[rng.integers(len(boxes))]
            target = float(np.exp(rng.uniform(np.log(11), np.log(self.side * 0.8))))
            scale = float(np.clip(target / max(w, h), least, max(least, 2.5)))
            span = self.side / scale
            jitter = rng.uniform(-0.4, 0.4, 2) * max(0.0, span - max(w, h))
            x, y = x + w / 2 + jitter[0] - span / 2, y + h / 2 + jitter[1] - span / 2
        else:
            scale = max(least, float(np.exp(rng.uniform(np.log(0.5), np.log(1.8)))))
            span = self.side / scale
            x, y = rng.uniform(0, max(1, width - span)), rng.uniform(0, max(1, height - span))
        return scale, within(rng, x, width - span), within(rng, y, height - span)

    def _resample(self, picture: np.ndarray, theta: np.ndarray, mirror: bool) -> Tensor:
        """The crop, black beyond the picture as the canvas is; shrinking takes every other pixel's mean first."""
        scale, x, y = theta[0, 0], theta[0, 2], theta[1, 2]
        span = self.side / scale
        x0, y0 = max(0, int(x) - 2), max(0, int(y) - 2)
        part = picture[y0 : int(y + span) + 4, x0 : int(x + span) + 4]
        out = torch.zeros(1, 3, self.side, self.side)
        if part.size == 0:
            return out
        t = torch.from_numpy(part.copy()).permute(2, 0, 1)[None].float()
        height, width = max(1, round(part.shape[0] * scale)), max(1, round(part.shape[1] * scale))
        t = F.interpolate(t, size=(height, width), mode="bilinear", align_corners=False, antialias=bool(scale < 0.9))
        dx, dy = round((x0 - x) * scale), round((y0 - y) * scale)
        sx, sy = max(0, -dx), max(0, -dy)
        dx, dy = max(0, dx), max(0, dy)
        t = t[:, :, sy : sy + self.side - dy, sx : sx + self.side - dx]
        out[:, :, dy : dy + t.shape[2], dx : dx + t.shape[3]] = t
        return out.flip(3) if mirror else out

    def _place(self, boxes: np.ndarray, theta: np.ndarray, mirror: bool) -> Tensor:
        """x0 y0 x1 y1 in the crop; those whose centre is outside it are left out."""
        scale = theta[0, 0]
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        corners = (corners - np.tile(theta[:, 2], 2)) * scale
        if mirror:
            corners[:, [0, 2]] = self.side - corners[:, [2, 0]]
        centre = (corners[:, :2] + corners[:, 2:]) / 2
        inside = ((centre > 0) & (centre < self.side)).all(1)
        return torch.from_numpy(corners[inside].astype(np.float32))


def within(rng: np.random.Generator, at: float, room: float) -> float:
    """Where a crop begins: at `at` as far as there is room, anywhere where the picture is the smaller."""
    return float(np.clip(at, 0, room)) if room > 0 else float(rng.uniform(room, 0))


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


def assign(rows: Tensor, boxes: Tensor, ignore: Tensor, grid: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """For each cell the box that it is to find, -1 for none and -2 for no opinion.

    A box asks the cells of its grids whose centre is near its own; of those the
    best nine by what they answer already (IoU and score) are taught, the others
    near it are left alone.
    """
    corners, strides, grids = grid
    target = torch.full((len(corners),), -1, dtype=torch.long)
    middle = corners + strides[:, None] / 2
    for x0, y0, x1, y1 in ignore.tolist():
        inside = (middle[:, 0] > x0 - 4) & (middle[:, 0] < x1 + 4) & (middle[:, 1] > y0 - 4) & (middle[:, 1] < y1 + 4)
        target[inside] = -2
    if not len(boxes):
        return target, torch.zeros(len(corners))
    size = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    lows, highs = (torch.tensor([r[k] for r in RANGES], dtype=torch.float)[grids] for k in (0, 1))
    of_grid = (size[:, None] >= lows) & (size[:, None] < highs)
    away = (middle[None] - centre[:, None]).abs().amax(2)
    reach = torch.maximum(0.25 * size[:, None], strides[None] * 0.75)
    near = of_grid & (away <= reach)
    answer = boxes_of(rows.detach(), corners, strides)
    overlap = pair_iou(answer[None], boxes[:, None])
    merit = (overlap + 0.3 * torch.sigmoid(rows[:, 0].detach()) - 0.2 * away / reach).masked_fill(~near, -9.0)
    best = merit.topk(min(9, merit.shape[1]), dim=1)
    target[near.any(0) & (target == -1)] = -2
    # Small boxes last: where two want a cell, the smaller one has fewer.
    for b in torch.argsort(size, descending=True).tolist():
        taught = best.indices[b][best.values[b] > -5]
        target[taught] = b
    return target, overlap.amax(0)


def loss(net: nn.Module, batch: tuple[Tensor, list[Tensor], list[Tensor]]) -> dict[str, Tensor]:
    pixels, boxes, ignore = batch
    grid = cells(pixels.shape[3], pixels.shape[2])
    rows = flat(net(pixels.contiguous(memory_format=torch.channels_last)))
    found, wanted, weights = [], [], []
    positive = torch.zeros(rows.shape[:2])
    counted = torch.ones(rows.shape[:2])
    for i, (b, ig) in enumerate(zip(boxes, ignore, strict=True)):
        target, _ = assign(rows[i], b, ig, grid)
        counted[i][target == -2] = 0
        hit = target >= 0
        positive[i][hit] = 1
        if hit.any():
            found.append((i, hit))
            wanted.append(b[target[hit]])
            each = torch.bincount(target[hit], minlength=len(b))[target[hit]]
            weights.append(1 / each.float())
    score = rows[..., 0]
    probability = torch.sigmoid(score.detach())
    focus = torch.where(positive > 0, (1 - probability) ** 1.0, probability**2.0)
    faces = max(1.0, sum(w.sum().item() for w in weights))
    hits = max(1.0, positive.sum().item())
    each = F.binary_cross_entropy_with_logits(score, positive, reduction="none")
    parts = {"class": (each * focus * counted).sum() / hits * 2}
    if found:
        got = torch.cat([boxes_of(rows[i], grid[0], grid[1])[hit] for i, hit in found])
        want, weight = torch.cat(wanted), torch.cat(weights)
        quality = torch.cat([rows[i, :, 1][hit] for i, hit in found])
        parts["box"] = 2 * (box_loss(got, want) * weight).sum() / faces
        overlap = pair_iou(got.detach(), want)
        parts["quality"] = (F.binary_cross_entropy_with_logits(quality, overlap, reduction="none") * weight).sum() / faces
    else:
        parts["box"] = parts["quality"] = rows.sum() * 0
    return parts


def detect(net: nn.Module, picture: np.ndarray, floor: float, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores in one picture (height x width x RGB), as the server decodes them."""
    height, width = picture.shape[:2]
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.float32)
    padded[:height, :width] = picture[..., ::-1]
    x = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None]
    rows = flat(net(x))[0]
    corners, strides, _ = cells(x.shape[3], x.shape[2])
    score = torch.sqrt(torch.sigmoid(rows[:, 0]) * torch.sigmoid(rows[:, 1]))
    keep = score >= floor
    boxes, scores = boxes_of(rows, corners, strides)[keep], score[keep]
    order = torch.argsort(scores, descending=True)[:500]
    boxes, scores = boxes[order], scores[order]
    left = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if left[i]:
            left[i + 1 :] &= pair_iou(boxes[i + 1 :], boxes[i]) < overlap
    return boxes[left].numpy(), scores[left].numpy()


@torch.no_grad()
def check(net: nn.Module, data: pool.Faces) -> dict[str, float]:
    """Average precision at IoU 0.5 on the pool's val pictures, and the recall where precision is 0.92."""
    judged, marked = [], 0
    for i in data.val:
        entry = data.entries[i]
        truth = np.array(entry["boxes"], np.float32).reshape(-1, 4)
        ignore = np.array(entry["ignore"], np.float32).reshape(-1, 4)
        boxes, scores = detect(net, data.picture(i), 0.05, 0.3)
        judged += judge(boxes, scores, truth, ignore)
        marked += len(truth)
    return summary(judged, marked)


def judge(boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, ignore: np.ndarray) -> list[tuple[float, bool]]:
    """Score and hit of each box; what meets only an ignored box is left out."""

    def corners(b: np.ndarray) -> Tensor:
        return torch.from_numpy(np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], 1))

    free, aside = corners(truth), corners(ignore)
    taken = torch.zeros(len(free), dtype=torch.bool)
    out = []
    for box, score in zip(torch.from_numpy(boxes), scores.tolist(), strict=True):
        iou = pair_iou(free, box).masked_fill(taken, 0) if len(free) else torch.zeros(1)
        best = int(iou.argmax())
        if iou[best] >= 0.5:
            taken[best] = True
            out.append((score, True))
        elif not len(aside) or pair_iou(aside, box).max() < 0.5:
            out.append((score, False))
    return out


def summary(judged: list[tuple[float, bool]], marked: int) -> dict[str, float]:
    judged = sorted(judged, key=lambda j: -j[0])
    hits = np.cumsum([j[1] for j in judged]) if judged else np.zeros(1)
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / max(1, marked)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float((np.diff(np.concatenate([[0], recall])) * envelope).sum())
    good = np.nonzero(precision >= 0.92)[0]
    at = int(good[-1]) if len(good) else 0
    threshold = judged[at][0] if len(good) else 1.0
    return {
        "ap": round(ap, 4),
        "recall_at_92": round(float(recall[at]) if len(good) else 0.0, 4),
        "threshold": round(threshold, 3),
    }


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--steps", type=int, default=1_000_000, help="end the slice after so many; 0: only ship")
    a.add_argument("--minutes", type=float, default=100, help="end the slice here even if steps are left")
    a.add_argument("--rate", type=float, default=3e-3)
    a.add_argument("--rate-end", type=float, default=1e-5, help="equal to --rate: a slice that others follow")
    a.add_argument("--warmup", type=int, default=0)
    a.add_argument("--side", type=int, default=256, help="side of the crops")
    a.add_argument("--batch", type=int, default=24)
    a.add_argument("--seed", type=int, default=6)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--weights", type=Path, default=SHIPPED / "resume.pt")
    a.add_argument("--runs", type=Path, default=pool.CACHE / "face-run")
    a.add_argument("--ship", action="store_true", help="when the slice has ended, write model.onnx and the weights to resume from")
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    data = pool.Faces()
    run = slices.Run.open(FaceNet(), o.runs, o.weights, decay=0.01)
    if o.steps > 0:
        plan = slices.Slice(o.steps, o.rate, o.rate_end, o.seed, o.minutes, o.warmup)
        slices.train(run, plan, Batches(data, o.side, o.batch), loss, lambda net: check(net, data))
    if o.ship:
        net = FaceExport(run.average.net).eval()
        export(net, torch.zeros(2, 3, 256, 320), SHIPPED / "model.onnx", list(FaceExport.NAMES), free_sides=True)
        pin(SHIPPED / "model.onnx")
        run.save_small(o.weights)


if __name__ == "__main__":
    main()
