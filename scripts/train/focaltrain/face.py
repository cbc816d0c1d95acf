"""Trains, exports and measures the face student."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from . import pool, slices
from .export import export, pin
from .face_data import Batches
from .face_loss import Loss, boxes_of, cells, flat, pair_iou
from .face_net import FaceExport, FaceNet
from .teacher import YuNet

LONG_SIDE = 640  # of the manifest's recipe
SHIPPED = pool.ROOT / "models" / "builtin" / "builtin-face"


def detect(net: nn.Module, picture: np.ndarray, floor: float, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores in one picture (height x width x RGB), as the server decodes them."""
    height, width = picture.shape[:2]
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.float32)
    padded[:height, :width] = picture[..., ::-1]
    device = next(net.parameters()).device
    x = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None].to(device, memory_format=torch.channels_last)
    rows = flat(net(x))[0].float().cpu()
    places, strides, _ = cells(x.shape[3], x.shape[2], torch.device("cpu"))
    score = torch.sqrt(torch.sigmoid(rows[:, 0]) * torch.sigmoid(rows[:, 1]))
    keep = score >= floor
    boxes, scores = boxes_of(rows, places, strides)[keep], score[keep]
    order = torch.argsort(scores, descending=True)[:500]
    boxes, scores = boxes[order], scores[order]
    left = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if left[i]:
            left[i + 1 :] &= pair_iou(boxes[i + 1 :], boxes[i]) < overlap
    return boxes[left].numpy(), scores[left].numpy()


@torch.no_grad()
def check(net: nn.Module, data: pool.Faces) -> dict[str, float]:
    """Average precision at IoU 0.5 on the pool's val pictures, and the recall where precision is 0.92.

    Each is looked at twice: as it is stored, and enlarged to the long side that
    the server uses, for faces as large as it meets. The threshold is of the
    first alone, for the server enlarges nothing.
    """
    stored, enlarged = [], []
    marked = 0
    for i in data.val:
        entry = data.entries[i]
        truth = np.array(entry["boxes"], np.float32).reshape(-1, 4)
        ignore = np.array(entry["ignore"], np.float32).reshape(-1, 4)
        small = Image.fromarray(data.picture(i))
        scale = LONG_SIDE / max(small.size)
        large = small.resize((round(small.width * scale), round(small.height * scale)), Image.BICUBIC)
        for picture, size, judged in ((small, 1.0, stored), (large, scale, enlarged)):
            boxes, scores = detect(net, np.asarray(picture), 0.05, 0.4)
            judged += judge(boxes, scores, truth * size, ignore * size)
        marked += len(truth)
    return summary(stored + enlarged, 2 * marked) | {"threshold": summary(stored, marked)["threshold"]}


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
    slices.arguments(a, SHIPPED, "face")
    a.add_argument("--side", type=int, default=256, help="side of the crops")
    a.add_argument("--batch", type=int, default=24)
    a.add_argument("--pull", type=float, default=3, help="how much the teacher's features weigh")
    a.add_argument("--hinted", type=int, default=2, help="every which picture the teacher sees")
    a.add_argument("--teacher", type=Path, default=pool.TEACHERS / "yunet_n.onnx", help="YuNet's file; none: learn from the boxes alone")
    o = a.parse_args()
    slices.begin(o)
    data = pool.Faces()
    run = slices.Run.open(FaceNet(), o.runs, o.weights, decay=0.01, device=o.device)
    if o.steps > 0:
        teacher = YuNet(o.teacher).to(o.device, memory_format=torch.channels_last) if o.teacher.is_file() else None
        batches = Batches(data, o.side, o.batch, o.device)
        slices.train(run, slices.Slice.of(o), batches, Loss(teacher, o.pull, o.hinted), lambda net: check(net, data))
    if o.ship:
        net = FaceExport(run.average.net.cpu()).eval()
        export(net, torch.zeros(2, 3, 256, 320), SHIPPED / "model.onnx", list(FaceExport.NAMES), free_sides=True)
        pin(SHIPPED / "model.onnx")
        run.save_small(o.weights)


if __name__ == "__main__":
    main()
