"""Writes the shipped models in int8 and float16, and times all three on one CPU thread in turn."""

import argparse
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from . import pool

BUILTIN = pool.ROOT / "models" / "builtin"


def faces(count: int) -> Iterator[np.ndarray]:
    """Training pictures as the detector gets them, on a square of 448."""
    data = pool.Faces()
    for i in data.train[:: max(1, len(data.train) // count)][:count]:
        square = np.zeros((1, 3, pool.Faces.SIDE, pool.Faces.SIDE), np.float32)
        picture = data.picture(i)
        square[0, :, : picture.shape[0], : picture.shape[1]] = picture[..., ::-1].transpose(2, 0, 1)
        yield square


def subjects(count: int) -> Iterator[np.ndarray]:
    """Training pictures as the foreground model gets them."""
    data = pool.Foreground()
    mean, deviation = (np.array(v, np.float32)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for i in data.train[:: max(1, len(data.train) // count)][:count]:
        yield ((data.pixels[i, :3] / np.float32(255) - mean) / deviation)[None]


class Calibration(CalibrationDataReader):
    """Pictures from which the ranges of all values are taken."""

    def __init__(self, pictures: Iterator[np.ndarray]) -> None:
        self.pictures = pictures

    def get_next(self) -> dict[str, np.ndarray] | None:
        picture = next(self.pictures, None)
        return None if picture is None else {"input": picture}


def seconds(sessions: dict[str, onnxruntime.InferenceSession], x: np.ndarray, rounds: int) -> dict[str, float]:
    """The median CPU time of a run of each, taken in turn so that all have the same neighbours."""
    spent: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 2):
        for name, session in sessions.items():
            begun = time.process_time()
            session.run(None, {"input": x})
            spent[name].append(time.process_time() - begun)
    return {name: float(np.median(times[2:])) for name, times in spent.items()}


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--out", type=Path, default=pool.CACHE / "variants")
    a.add_argument("--pictures", type=int, default=48, help="for the ranges of int8")
    a.add_argument("--rounds", type=int, default=20)
    o = a.parse_args()
    logging.disable(logging.WARNING)  # the quantiser says of each weight that is used twice that it is
    o.out.mkdir(parents=True, exist_ok=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name, pictures, shape in (
        ("builtin-face", faces(o.pictures), (1, 3, 640, 640)),
        ("builtin-foreground", subjects(o.pictures), (1, 3, 224, 224)),
    ):
        files = {"float32": BUILTIN / name / "model.onnx"} | {kind: o.out / f"{name}-{kind}.onnx" for kind in ("int8", "float16")}
        ready = o.out / f"{name}-ready.onnx"
        quant_pre_process(str(files["float32"]), str(ready), skip_symbolic_shape=True)
        quantize_static(str(ready), str(files["int8"]), Calibration(pictures), QuantFormat.QDQ, per_channel=True)
        onnx.save(convert_float_to_float16(onnx.load(str(files["float32"])), keep_io_types=True), str(files["float16"]))
        sessions = {k: onnxruntime.InferenceSession(str(f), options, providers=["CPUExecutionProvider"]) for k, f in files.items()}
        x = np.random.default_rng(1).random(shape, np.float32) * (255 if name == "builtin-face" else 1)
        for kind, spent in seconds(sessions, x, o.rounds).items():
            print(f"{name} {kind}: {spent * 1000:.1f} ms, {files[kind].stat().st_size} bytes")


if __name__ == "__main__":
    main()
