"""The bricks of both networks."""

from torch import Tensor, nn


class Conv(nn.Sequential):
    """Convolution, batch norm and, unless told otherwise, ReLU."""

    def __init__(
        self, cin: int, cout: int, size: int = 3, stride: int = 1, groups: int = 1, dilation: int = 1, active: bool = True
    ) -> None:
        pad = dilation * (size // 2)
        parts: list[nn.Module] = [
            nn.Conv2d(cin, cout, size, stride, pad, dilation=dilation, groups=groups, bias=False),
            nn.BatchNorm2d(cout),
        ]
        if active:
            parts.append(nn.ReLU(inplace=True))
        super().__init__(*parts)


class Separable(nn.Module):
    """Depthwise then pointwise, with a way past where the shape stays."""

    def __init__(self, cin: int, cout: int, stride: int = 1, dilation: int = 1, size: int = 3) -> None:
        super().__init__()
        self.depth = Conv(cin, cin, size, stride, groups=cin, dilation=dilation)
        self.point = Conv(cin, cout, 1, active=False)
        self.act = nn.ReLU(inplace=True)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.point(self.depth(x))
        return self.act(x + y if self.residual else y)
