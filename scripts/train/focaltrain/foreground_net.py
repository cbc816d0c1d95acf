"""The foreground student: a light encoder and decoder with skips."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Conv, Separable


class Context(nn.Module):
    """Looks far around at the coarsest stride: dilated branches and the mean of the whole picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = Separable(width, width)
        self.far = Separable(width, width, dilation=2)
        self.all = nn.Conv2d(width, width, 1)
        self.mix = Conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        whole = torch.sigmoid(self.all(x.mean((2, 3), keepdim=True)))
        return self.mix(torch.cat([self.near(x), self.far(x)], 1)) * whole


class ForegroundNet(nn.Module):
    """RGB in, normalised as ImageNet's, both sides multiples of 32; logits out.

    While it trains it gives the logits at stride 2 and, to teach the coarse
    layers directly, at stride 16.
    """

    WIDTHS = (16, 32, 64, 128, 192)
    DECODER = (24, 32, 48, 64)

    def __init__(self) -> None:
        super().__init__()
        w, d = self.WIDTHS, self.DECODER
        self.stem = Conv(3, w[0], 3, 2)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Separable(w[0], w[1], 2), Separable(w[1], w[1])),
                nn.Sequential(Separable(w[1], w[2], 2), Separable(w[2], w[2]), Separable(w[2], w[2])),
                nn.Sequential(Separable(w[2], w[3], 2), *[Separable(w[3], w[3], size=5) for _ in range(3)]),
                nn.Sequential(Separable(w[3], w[4], 2), *[Separable(w[4], w[4], size=5) for _ in range(2)]),
            ]
        )
        self.context = Context(w[4])
        self.side = nn.ModuleList([Conv(w[i], d[i], 1) for i in range(4)])
        coarser = (*d[1:], w[4])
        self.up = nn.ModuleList([Conv(coarser[i], d[i], 1) for i in range(4)])
        self.join = nn.ModuleList([Separable(d[i], d[i]) for i in range(4)])
        self.coarse = nn.Conv2d(d[3], 1, 1)
        self.fine = nn.Conv2d(d[0], 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        levels = [self.stem(x)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        y = self.context(levels[4])
        coarse = None
        for i in (3, 2, 1, 0):
            y = F.interpolate(self.up[i](y), scale_factor=2.0, mode="bilinear", align_corners=False)
            y = self.join[i](y + self.side[i](levels[i]))
            if coarse is None:
                coarse = self.coarse(y)
        return self.fine(y), coarse


class ForegroundExport(nn.Module):
    """What the file holds: the mask at the input's size, 0 to 1.

    It looks at the picture and at its mirror image, at the input's size and at
    a smaller one, and takes the mean: at these sizes four looks cost little, and
    they mend what a single one wavers about.
    """

    def __init__(self, net: ForegroundNet, side: int, smaller: int) -> None:
        super().__init__()
        self.net, self.side, self.smaller = net, side, smaller

    def forward(self, x: Tensor) -> Tensor:
        small = F.interpolate(x, size=(self.smaller, self.smaller), mode="bilinear", align_corners=False)
        return (self._look(x) + self._look(small)) / 2

    def _look(self, x: Tensor) -> Tensor:
        fine, _ = self.net(torch.cat([x, x.flip(3)]))
        both = fine.reshape(2, -1, 1, fine.shape[2], fine.shape[3])
        mean = (both[0] + both[1].flip(3)) / 2
        return torch.sigmoid(F.interpolate(mean, size=(self.side, self.side), mode="bilinear", align_corners=False))
