"""The training pool, decoded once into arrays that are mapped into memory.

The arrays lie under .cache/train and are made again when the pool's manifest
changes. Nothing here reads ../shared/data.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
POOL = Path(os.environ.get("FOCAL_TRAIN_POOL", ROOT.parent / "shared" / "train"))
TEACHERS = Path(os.environ.get("FOCAL_TRAIN_TEACHERS", ROOT.parent / "shared" / "models"))
CACHE = ROOT / ".cache" / "train"


def prefix(name: str) -> str:
    """The source of a file: what stands before the last underscore."""
    return name.rsplit("_", 1)[0]


def val_names(kind: str) -> set[str]:
    """The names of a part that the manifest calls val."""
    with (POOL / "manifest.csv").open() as f:
        rows = csv.DictReader(f)
        return {Path(r["file"]).name for r in rows if r["split"] == "val" and r["file"].startswith(kind + "/")}


def _cached(name: str, version: str, make: Callable[[Path], None]) -> Path:
    """A folder of arrays that `make` fills; whole or not there at all."""
    stamp = hashlib.sha256((POOL / "manifest.csv").read_bytes() + version.encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{stamp}"
    if not folder.exists():
        fresh = CACHE / f"{name}-{stamp}.new"
        fresh.mkdir(parents=True, exist_ok=True)
        make(fresh)
        fresh.rename(folder)
    return folder


class Foreground:
    """Pictures stretched to a square, with the mask as fourth channel."""

    SIDE = 224

    def __init__(self) -> None:
        folder = _cached("foreground", f"square{self.SIDE}", self._decode)
        self.names: list[str] = json.loads((folder / "names.json").read_text())
        shape = (len(self.names), 4, self.SIDE, self.SIDE)
        self.pixels = np.memmap(folder / "pixels.u8", np.uint8, "c", shape=shape)
        val = val_names("foreground")
        self.train = [i for i, n in enumerate(self.names) if n not in val]
        self.val = [i for i, n in enumerate(self.names) if n in val]

    def _decode(self, folder: Path) -> None:
        files = sorted((POOL / "foreground" / "images").glob("*.jpg"))
        size = (self.SIDE, self.SIDE)
        pixels = np.memmap(folder / "pixels.u8", np.uint8, "w+", shape=(len(files), 4, *size))
        for i, file in enumerate(files):
            picture = Image.open(file).convert("RGB").resize(size, Image.BILINEAR)
            mask = Image.open(POOL / "foreground" / "masks" / f"{file.stem}.png").convert("L")
            pixels[i, :3] = np.asarray(picture).transpose(2, 0, 1)
            pixels[i, 3] = np.asarray(mask.resize(size, Image.BILINEAR))
        pixels.flush()
        (folder / "names.json").write_text(json.dumps([f.name for f in files]))


class Faces:
    """Pictures at their stored size in one long array, and their boxes."""

    SIDE = 448  # no picture is longer

    def __init__(self) -> None:
        folder = _cached("faces", "raw1", self._decode)
        self.entries: list[dict] = json.loads((folder / "entries.json").read_text())
        self.bytes = np.memmap(folder / "pixels.u8", np.uint8, "r")
        val = val_names("faces")
        self.train = [i for i, e in enumerate(self.entries) if e["file"] not in val]
        self.val = [i for i, e in enumerate(self.entries) if e["file"] in val]

    def picture(self, i: int) -> np.ndarray:
        """Height x width x RGB."""
        e = self.entries[i]
        n = e["width"] * e["height"] * 3
        return self.bytes[e["offset"] : e["offset"] + n].reshape(e["height"], e["width"], 3)

    @staticmethod
    def _decode(folder: Path) -> None:
        entries = json.loads((POOL / "faces" / "annotations.json").read_text())["images"]
        offset = 0

        def decoded(e: dict) -> np.ndarray:
            return np.asarray(Image.open(POOL / "faces" / "images" / e["file"]).convert("RGB"))

        with (folder / "pixels.u8").open("wb") as out, ThreadPoolExecutor() as decoders:
            for e, picture in zip(entries, decoders.map(decoded, entries), strict=True):
                if picture.shape != (e["height"], e["width"], 3):
                    raise ValueError(f"{e['file']}: {picture.shape} is not what the annotations say")
                out.write(picture.tobytes())
                e["offset"] = offset
                offset += picture.size
        (folder / "entries.json").write_text(json.dumps(entries))
