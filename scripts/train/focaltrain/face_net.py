"""The face student: no anchors, three grids, boxes only.

Its outputs are those of the yunet family in models/face without the landmarks:
for the strides 8, 16 and 32 a class score, an objectness and a box for each
cell; the decoder takes the square root of their product.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Conv, Separable

STRIDES = (8, 16, 32)


class Scaled(nn.Module):
    """Pixels to about -2 to 2, with a border of black: all of it can become a part of the first convolution."""

    MIDDLE, SPAN = 127.5, 64

    def forward(self, x: Tensor) -> Tensor:
        return (F.pad(x, (1, 1, 1, 1)) - self.MIDDLE) / self.SPAN

    @classmethod
    def within(cls, conv: nn.Conv2d) -> nn.Conv2d:
        """The convolution that takes plain pixels: two passes over the picture less, a twelfth of the time."""
        out = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, 1)
        with torch.no_grad():
            out.weight.copy_(conv.weight / cls.SPAN)
            out.bias.copy_(-cls.MIDDLE * out.weight.sum((1, 2, 3)))
        return out


class FaceNet(nn.Module):
    """BGR 0..255 in, both sides multiples of 32.

    Gives for each stride a map of six channels: logits of class and of how well
    the box fits, and the box as YuNet writes it (centre against the cell's corner in strides,
    logarithm of width and height in strides).

    While it trains it also gives what a teacher's features are compared with:
    of backbone, neck and head, from fine to coarse each. The three grids share
    one tower and one output: a face looks the same to each of them, so each
    learns from all faces.
    """

    WIDTHS = (16, 32, 64, 96, 128)
    HEAD = 64

    def __init__(self) -> None:
        super().__init__()
        w, h = self.WIDTHS, self.HEAD
        self.scaled = Scaled()
        self.stem = Conv(3, w[0], 3, 2)
        self.stem[0].padding = (0, 0)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Separable(w[0], w[1], 2), *[Separable(w[1], w[1]) for _ in range(2)]),
                nn.Sequential(Separable(w[1], w[2], 2), *[Separable(w[2], w[2]) for _ in range(5)]),
                nn.Sequential(Separable(w[2], w[3], 2), Separable(w[3], w[3], size=5), Separable(w[3], w[3], size=5)),
                nn.Sequential(Separable(w[3], w[4], 2), Separable(w[4], w[4], size=5), Separable(w[4], w[4], size=5)),
            ]
        )
        self.side = nn.ModuleList([Conv(w[i + 2], h, 1) for i in range(3)])
        self.join = nn.ModuleList([Separable(h, h) for _ in range(3)])
        self.tower = nn.Sequential(Separable(h, h), Separable(h, h))
        self.out = nn.Conv2d(h, 6, 1)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([-4.0, 0.0, 0.5, 0.5, 1.0, 1.0]))

        self.hint = nn.ModuleList([nn.Conv2d(c, 64, 1) for c in (*w[2:], *[h] * 6)])

    def forward(self, x: Tensor) -> list[Tensor] | tuple[list[Tensor], list[Tensor]]:
        x = self.stages[0](self.stem(self.scaled(x)))
        levels = []
        for stage in self.stages[1:]:
            x = stage(x)
            levels.append(x)
        y, necks = None, []
        for i in (2, 1, 0):
            lateral = self.side[i](levels[i])
            y = lateral if y is None else lateral + F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = self.join[i](y)
            necks.insert(0, y)
        heads = [self.tower(y) for y in necks]
        maps = [self.out(y) for y in heads]
        if not self.training:
            return maps
        return maps, [hint(y) for hint, y in zip(self.hint, [*levels, *necks, *heads], strict=True)]


class FaceExport(nn.Module):
    """What the file holds: cls, obj and bbox of each stride, in the decoder's order."""

    NAMES = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox") for stride in STRIDES)

    def __init__(self, net: FaceNet) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        self.net.scaled = nn.Identity()
        self.net.stem[0] = Scaled.within(net.stem[0])

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.net(x)
        score = [torch.sigmoid(m[:, 0:1]) for m in maps]
        quality = [torch.sigmoid(m[:, 1:2]) for m in maps]
        # A box beyond e^5 strides is none: what a wild cell says must stay a number.
        box = [torch.cat([m[:, 2:4], m[:, 4:6].clamp(-5.0, 5.0)], 1) for m in maps]
        return [m.flatten(2).transpose(1, 2) for m in score + quality + box]
