"""YuNet as a teacher: what it makes of a batch on its way to an answer.

Its file is read operator by operator into PyTorch, so that it runs where the
student trains, on a card too.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

LEVELS = 3
HEAD = "bbox_head.multi_level_{}.weight"


class YuNet(nn.Module):
    """BGR 0..255 in, sides multiples of 32.

    Gives, for each stride, 64 features of backbone, neck and head, and how
    likely a face is there (0 to 1).
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(str(path)).graph
        for t in graph.initializer:
            self.register_buffer(self._name(t.name), torch.from_numpy(np.array(numpy_helper.to_array(t))))
        by_weight = {n.input[1]: n for n in graph.node if n.op_type == "Conv"}
        heads = [by_weight[HEAD.format(f"obj.{k}.conv1")].input[0] for k in range(LEVELS)]
        necks = [by_weight[HEAD.format(f"share_convs.{k}.0.conv1")].input[0] for k in range(LEVELS)]
        finer = [n.input[0] for n in graph.node if n.op_type == "Add"][::-1]
        backbones = [*finer, by_weight["neck.lateral_convs.2.conv1.weight"].input[0]]
        self.features = [*backbones, *necks, *heads]
        self.objects = [by_weight[HEAD.format(f"obj.{k}.conv2")].output[0] for k in range(LEVELS)]
        makers = {n.output[0]: n for n in graph.node}
        needed, waiting = set(), [*self.features, *self.objects]
        while waiting:
            name = waiting.pop()
            if name in makers and name not in needed:
                needed.add(name)
                waiting += makers[name].input[: 2 if makers[name].op_type == "Add" else 1]
        self.nodes = [self._step(n) for n in graph.node if n.output[0] in needed]

    @staticmethod
    def _name(name: str) -> str:
        return "w_" + name.replace(".", "_")

    def _step(self, n: onnx.NodeProto) -> tuple[list[str], str, Callable[..., Tensor]]:
        """What an operator takes, what it is called, and what it does."""
        match n.op_type:
            case "Conv":
                set_ = {s.name: s for s in n.attribute}
                weight, bias = (self._name(i) for i in n.input[1:3])
                stride, pad, groups = set_["strides"].ints[0], set_["pads"].ints[0], set_["group"].i

                def run(a: Tensor) -> Tensor:
                    return F.conv2d(a, getattr(self, weight), getattr(self, bias), stride, pad, groups=groups)

            case "Relu":
                run = F.relu
            case "MaxPool":
                run = functools.partial(F.max_pool2d, kernel_size=2)
            case "Resize":
                run = functools.partial(F.interpolate, scale_factor=2.0, mode="nearest")
            case "Add":
                return list(n.input), n.output[0], torch.add
            case other:
                raise ValueError(f"{n.name}: no way to run {other}")
        return [n.input[0]], n.output[0], run

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        known = {"input": x}
        for taken, name, run in self.nodes:
            known[name] = run(*(known[t] for t in taken))
        return [known[f].float() for f in self.features], [torch.sigmoid(known[o].float()) for o in self.objects]
