"""Writes ONNX files and checks that they give what the network gave."""

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

OPSET = 13


def export(net: nn.Module, example: Tensor, path: Path, outputs: list[str], free_sides: bool) -> None:
    """A free batch axis always; free height and width where asked for."""
    axes: dict[str, dict[int, str]] = {name: {0: "n"} for name in outputs}
    axes["input"] = {0: "n"}
    if free_sides:
        axes["input"] |= {2: "height", 3: "width"}
        for name in outputs:
            axes[name][1] = "cells_" + name.rsplit("_", 1)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(net, example, str(path), opset_version=OPSET, input_names=["input"], output_names=outputs, dynamic_axes=axes)
    onnx.checker.check_model(str(path))
    compare(net, example, path)


@torch.no_grad()
def compare(net: nn.Module, example: Tensor, path: Path) -> None:
    import onnxruntime  # a machine that only trains need not have it

    x = torch.randn(3, *example.shape[1:], generator=torch.Generator().manual_seed(1))
    want = net(x)
    want = [want] if isinstance(want, Tensor) else list(want)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    got = session.run(None, {"input": x.numpy()})
    worst = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(got, want, strict=True))
    if worst > 1e-3:
        raise ValueError(f"{path}: the file's answers differ from the network's by {worst}")
    print(f"{path}: {path.stat().st_size} bytes, off by at most {worst:.1e}")


def pin(weights: Path) -> None:
    """Writes digest and size of the weights into the manifest beside them."""
    manifest = weights.parent / "model.yaml"
    text = manifest.read_text()
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    text = re.sub(r"(?m)^( *sha256:).*$", rf"\1 {digest}", text)
    text = re.sub(r"(?m)^( *bytes:).*$", rf"\1 {weights.stat().st_size}", text)
    manifest.write_text(text)
