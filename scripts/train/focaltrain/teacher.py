"""YuNet as a teacher: what it makes of a batch on its way to an answer.

Its file is read operator by operator into PyTorch, so that it runs where the
student trains, on a card too.
"""

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
        self.nodes = [n for n in graph.node if n.output[0] in needed]

    @staticmethod
    def _name(name: str) -> str:
        return "w_" + name.replace(".", "_")

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        known = {"input": x}
        for n in self.nodes:
            a = known[n.input[0]]
            match n.op_type:
                case "Conv":
                    set_ = {s.name: s for s in n.attribute}
                    weight, bias = (getattr(self, self._name(i)) for i in n.input[1:3])
                    y = F.conv2d(a, weight, bias, set_["strides"].ints[0], set_["pads"].ints[0], groups=set_["group"].i)
                case "Relu":
                    y = F.relu(a)
                case "MaxPool":
                    y = F.max_pool2d(a, 2)
                case "Resize":
                    y = F.interpolate(a, scale_factor=2.0, mode="nearest")
                case "Add":
                    y = a + known[n.input[1]]
            known[n.output[0]] = y
        return [known[f].float() for f in self.features], [torch.sigmoid(known[o].float()) for o in self.objects]
