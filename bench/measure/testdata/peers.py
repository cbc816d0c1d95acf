"""Writes peers.json: what py_sod_metrics, OpenCV and pycocotools say of masks
and boxes of ../shared, for peers_test.go. scripts/real/metrics runs it:

    python bench/measure/testdata/peers.py ../shared/data > bench/measure/testdata/peers.json

Results are made of the truth itself, by integer arithmetic that the test
repeats: a box filter, then a shift.
"""

import contextlib
import csv
import json
import sys
import warnings

import cv2
import numpy as np
import py_sod_metrics as sod
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

data = sys.argv[1]
MASKS = [
    ("humans/masks/ccp_0031.png", 3, 2, -1),
    ("humans/masks/portrait_00204.png", 6, -5, 4),
    ("humans/masks/ecssd_0099.png", 9, 12, 7),
    ("objects/masks/davis_bmx-trees_00012.png", 1, 1, 0),
    ("objects/masks/davis_paragliding-launch_00012.png", 2, 0, 3),
    ("objects/masks/soft_lemur.png", 4, 0, 0),
]


def result_of(truth, radius, dx, dy):
    """The mean over a square, rounded down, then moved; nothing comes from outside."""
    h, w = truth.shape
    padded = np.pad(truth.astype(np.int64), radius)
    side = 2 * radius + 1
    total = sum(padded[y : y + h, x : x + w] for y in range(side) for x in range(side))
    out = np.zeros_like(truth)
    ys, xs = max(dy, 0), max(dx, 0)
    moved = (total // (side * side)).astype(np.uint8)
    out[ys : h + min(dy, 0), xs : w + min(dx, 0)] = moved[max(-dy, 0) : h - ys, max(-dx, 0) : w - xs]
    return out


def boundary(mask, share=0.02):
    h, w = mask.shape
    d = max(1, round(share * np.sqrt(h**2 + w**2)))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=d)
    return mask.astype(np.uint8) - eroded[1 : h + 1, 1 : w + 1]


def scores(mask, truth):
    # Results are not spread to 0..1 first, as the library would.
    pred, gt = np.minimum(1, mask / 255 + 1e-12), truth >= 128
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of = {k: c() for k, c in dict(f=sod.Fmeasure, s=sod.Smeasure, e=sod.Emeasure, w=sod.WeightedFmeasure, m=sod.MAE).items()}
    for one in of.values():
        one.step(pred, gt, normalize=False)
    f, e = of["f"].get_results()["fm"], of["e"].get_results()["em"]
    a, b = boundary(mask >= 128), boundary(gt)
    return {
        "f_max": f["curve"].max(), "f_mean": f["curve"].mean(), "f_adaptive": f["adp"],
        "e_max": e["curve"].max(), "e_mean": e["curve"].mean(), "e_adaptive": e["adp"],
        "s": of["s"].get_results()["sm"], "weighted_f": of["w"].get_results()["wfm"],
        "mae": of["m"].get_results()["mae"],
        "boundary_iou": ((a * b) > 0).sum() / ((a + b) > 0).sum(),
    }


def masks():
    for name, radius, dx, dy in MASKS:
        truth = cv2.imread(f"{data}/{name}", cv2.IMREAD_GRAYSCALE)
        values = scores(result_of(truth, radius, dx, dy), truth)
        yield {"mask": name, "radius": radius, "dx": dx, "dy": dy, **{k: round(float(v), 9) for k, v in values.items()}}


def faces():
    """COCO's figures of the reference detections (reference/faces.csv, column boxes50)."""
    truth = json.load(open(f"{data}/faces/annotations.json"))["images"]
    images = {i["file"]: n + 1 for n, i in enumerate(truth)}
    boxes = [(images[i["file"]], b) for i in truth for b in i["boxes"]]
    dataset = {
        "images": [{"id": n} for n in images.values()], "categories": [{"id": 1}],
        "annotations": [{"id": n + 1, "image_id": i, "category_id": 1, "bbox": b, "area": b[2] * b[3], "iscrowd": 0} for n, (i, b) in enumerate(boxes)],
    }
    found = []
    for row in csv.DictReader(open(f"{data}/reference/faces.csv")):
        if row["model"] != "retinaface_mobilenet025" or row["long_side"] != "1024":
            continue
        for d in filter(None, row["boxes50"].split(";")):
            *box, score = map(float, d.split())
            found.append({"image_id": images[row["image"]], "category_id": 1, "bbox": box, "score": score})
    with contextlib.redirect_stdout(sys.stderr):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        e = COCOeval(coco, coco.loadRes(found), "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
    return {k: round(float(v), 9) for k, v in zip(names, e.stats)}


print(json.dumps({"masks": list(masks()), "faces": faces()}, indent=1))
