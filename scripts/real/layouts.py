"""Writes a few pictures with masks in the layouts of public sets, and compares
what was measured on them.

    python layouts.py write SET FOLDER
    python layouts.py compare RESULTS
"""

import json
import pathlib
import sys

import cv2
import numpy
from pycocotools import mask as coco

PICTURES = 12
# The folders of pictures and masks of each layout; the contract names the first two.
FOLDERS = {
    "plain": ("images", "masks"),
    "dis5k": ("im", "gt"),
    "p3m": ("original_image", "mask"),
    "p3m-blurred": ("blurred_image", "mask"),
    "voc-object": ("JPEGImages", "SegmentationObject"),
    "voc-class": ("JPEGImages", "SegmentationClass"),
}


def put(file, data):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


def annotation(number, mask):
    """Polygons for every other picture, plain run lengths for the rest."""
    height, width = mask.shape
    if number % 2:
        flat = numpy.asfortranarray(mask).ravel(order="F")
        edges = numpy.flatnonzero(numpy.diff(flat)) + 1
        counts = numpy.diff([0, *edges, flat.size]).tolist()
        return {"counts": [0, *counts] if flat[0] else counts, "size": [height, width]}, 1
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [c.ravel().tolist() for c in contours if len(c) >= 3], 0


def decode(segmentation, height, width):
    """The mask as pycocotools reads it."""
    runs = coco.frPyObjects(segmentation, height, width)
    return coco.decode(coco.merge(runs) if isinstance(runs, list) else runs)


def write(source, folder):
    images, annotations = [], []
    pictures = sorted(p for p in (source / "images").iterdir() if not p.name.startswith("soft_"))[:: 100 // PICTURES][:PICTURES]
    for number, picture in enumerate(pictures):
        mask = (cv2.imread(str(source / "masks" / f"{picture.stem}.png"), cv2.IMREAD_GRAYSCALE) > 127).astype(numpy.uint8)
        height, width = mask.shape
        segmentation, crowd = annotation(number, mask)
        mask = decode(segmentation, height, width)  # what everybody is to find
        images.append({"id": number, "file_name": picture.name, "height": height, "width": width})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "iscrowd": crowd, "segmentation": segmentation})
        put(folder / "coco" / "val2017" / picture.name, picture.read_bytes())
        for name, (pictures_in, masks_in) in FOLDERS.items():
            put(folder / name / pictures_in / picture.name, picture.read_bytes())
            levels = mask * (15 if name.startswith("voc") else 255)
            put(folder / name / masks_in / f"{picture.stem}.png", png(levels))
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    put(folder / "coco" / "annotations" / "instances_val2017.json", text.encode())


def compare(results):
    rows = [r for r in json.loads(results.read_text())["segment"] if r["subset"] == "all"]
    plain = next(r for r in rows if r["dataset"] == "plain")
    if len(rows) != len(FOLDERS) + 1 or plain["images"] != PICTURES:
        sys.exit(f"measured {[(r['dataset'], r['images']) for r in rows]}, want {len(FOLDERS) + 1} sets of {PICTURES}")
    for r in rows:
        # Polygons are drawn by rules that differ in the pixels of the outline.
        limit = 0.005 if r["dataset"] == "coco" else 0
        gap = abs(r["iou"]["mean"] - plain["iou"]["mean"])
        print(f"{r['dataset']:12} {r['images']} pictures, mean IoU {r['iou']['mean']:.4f}, {gap:.4f} from plain")
        if gap > limit or r["images"] != PICTURES:
            sys.exit(f"{r['dataset']}: want {PICTURES} pictures and at most {limit}")


command, *paths = sys.argv[1:]
{"write": write, "compare": compare}[command](*map(pathlib.Path, paths))
