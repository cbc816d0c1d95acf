"""Trains, exports and measures the face student."""

import argparse
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from . import pool, slices
from .export import export, pin
from .face_data import Batches
from .face_loss import Loss, boxes_of, cells, flat, pair_iou
from .face_net import FaceExport, FaceNet
from .teacher import YuNet
from .upload import upload

LONG_SIDE = 640  # of the manifest's recipe
AT_ONCE = 10  # pictures in a look of the check
SHIPPED = pool.ROOT / "models" / "builtin" / "builtin-face"


def detect(net: nn.Module, pictures: list[np.ndarray], side: int, floor: float, overlap: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Boxes and scores in each picture (height x width x RGB), as the server decodes them; all are padded to one square."""
    device = next(net.parameters()).device
    places, strides, _ = cells(side, side, device)
    for start in range(0, len(pictures), AT_ONCE):
        canvas = np.zeros((AT_ONCE, side, side, 3), np.uint8)
        for square, picture in zip(canvas, pictures[start:], strict=False):
            square[: picture.shape[0], : picture.shape[1]] = picture[..., ::-1]
        rows = flat(net(upload(canvas, device).permute(0, 3, 1, 2).float()))
        scores, order = torch.sqrt(torch.sigmoid(rows[..., 0]) * torch.sigmoid(rows[..., 1])).topk(500)
        boxes = boxes_of(rows, places, strides).gather(1, order[..., None].expand(-1, -1, 4))
        for b, s, _ in zip(boxes.cpu().numpy(), scores.cpu().numpy(), pictures[start:], strict=False):
            left = apart(b[s >= floor], overlap)
            yield b[left], s[left]


def apart(boxes: np.ndarray, overlap: float) -> list[int]:
    """Those of the boxes, best first, that are not too near a better one."""
    meets = all_iou(boxes, boxes) >= overlap
    left: list[int] = []
    for i in range(len(boxes)):
        if not meets[i, left].any():
            left.append(i)
    return left


def all_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of every box of a with every one of b."""
    return pair_iou(torch.from_numpy(a)[:, None], torch.from_numpy(b)[None]).numpy()


@torch.no_grad()
def check(net: nn.Module, data: pool.Faces) -> dict[str, float]:
    """Average precision at IoU 0.5 on the pool's val pictures, and the recall where precision is 0.92.

    Each is looked at twice: as it is stored, and enlarged to the long side that
    the server uses, for faces as large as it meets. The threshold is of the
    first alone, for the server enlarges nothing.
    """
    entries = [data.entries[i] for i in data.val]
    stored = [data.picture(i) for i in data.val]
    scales = [LONG_SIDE / max(p.shape) for p in stored]
    found = []
    for pictures, side, sizes in ((stored, pool.Faces.SIDE, [1.0] * len(stored)), (enlarged(data), LONG_SIDE, scales)):
        judged: list[tuple[float, bool]] = []
        for (boxes, scores), e, size in zip(detect(net, pictures, side, 0.05, 0.4), entries, sizes, strict=True):
            truth, ignore = (np.array(e[key], np.float32).reshape(-1, 4) * size for key in ("boxes", "ignore"))
            judged += judge(boxes, scores, truth, ignore)
        found.append(judged)
    marked = sum(len(e["boxes"]) for e in entries)
    return summary(found[0] + found[1], 2 * marked) | {"threshold": summary(found[0], marked)["threshold"]}


@functools.cache
def enlarged(data: pool.Faces) -> list[np.ndarray]:
    """The val pictures at the server's long side."""
    out = []
    for i in data.val:
        picture = Image.fromarray(data.picture(i))
        scale = LONG_SIDE / max(picture.size)
        out.append(np.asarray(picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.BICUBIC)))
    return out


def judge(boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, ignore: np.ndarray) -> list[tuple[float, bool]]:
    """Score and hit of each box; what meets only an ignored box is left out."""

    def meets(b: np.ndarray) -> np.ndarray:
        return all_iou(boxes, np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], 1))

    free, aside = meets(truth), meets(ignore).max(1, initial=0) >= 0.5
    out = []
    for score, iou, known in zip(scores.tolist(), free, aside, strict=True):
        best = int(iou.argmax()) if len(iou) else 0
        if len(iou) and iou[best] >= 0.5:
            free[:, best] = 0
            out.append((score, True))
        elif not known:
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
    slices.arguments(a, SHIPPED, "face")
    a.add_argument("--side", type=int, default=256, help="side of the crops")
    a.add_argument("--batch", type=int, default=24)
    a.add_argument("--pull", type=float, default=3, help="how much the teacher's features weigh")
    a.add_argument("--hinted", type=int, default=2, help="every which picture the teacher sees")
    a.add_argument("--teacher", type=Path, default=pool.TEACHERS / "yunet_n.onnx", help="YuNet's file; none: learn from the boxes alone")
    a.add_argument("--planes", action="store_true", help="each channel for itself in memory, which may be faster on a card")
    o = a.parse_args()
    slices.begin(o)
    data = pool.Faces()
    layout = torch.contiguous_format if o.planes else torch.channels_last
    run = slices.Run.open(FaceNet(), o.runs, o.weights, decay=0.01, device=o.device, layout=layout)
    if o.steps > 0:
        teacher = YuNet(o.teacher).to(o.device, torch.bfloat16, memory_format=layout) if o.teacher.is_file() else None
        batches = Batches(data, o.side, o.batch, o.device)
        slices.train(run, slices.Slice.of(o), batches, Loss(teacher, o.pull, o.hinted), lambda net: check(net, data))
    if o.ship:
        net = FaceExport(run.average.net.cpu()).eval()
        export(net, torch.zeros(2, 3, 256, 320), SHIPPED / "model.onnx", list(FaceExport.NAMES), free_sides=True)
        pin(SHIPPED / "model.onnx")
        run.save_small(o.weights)


if __name__ == "__main__":
    main()
