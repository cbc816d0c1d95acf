"""Changes of colour, the same for both students."""

import numpy as np
import torch
from torch import Tensor

from .upload import upload


def colour(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Gain, tint, contrast and, now and then, grey and noise; pixels 0..255.

    All but the noise is one matrix and one offset a picture, for each pass over
    the pixels costs as much as a layer.
    """
    n = len(x)

    def each(values: np.ndarray) -> Tensor:
        return upload(values.astype(np.float32), x.device)

    # Dark pictures are rarer in a pool than where people take photos.
    gain = each(np.exp(rng.uniform(np.log(0.5), np.log(1.35), (n, 1))) * rng.uniform(0.9, 1.1, (n, 3)))
    contrast = each(rng.uniform(0.75, 1.3, (n, 1)))
    keep = each(np.where(rng.random((n, 1, 1)) < 0.1, 0.0, rng.uniform(0.7, 1.3, (n, 1, 1))))
    mean = (gain * x.mean((2, 3))).mean(1, keepdim=True)
    mix = keep * torch.eye(3, device=x.device) + (1 - keep) / 3
    mix = mix * (contrast * gain)[:, None]
    offset = (1 - contrast) * mean
    out = torch.baddbmm(offset[..., None], mix, x.flatten(2)).view_as(x)
    if rng.random() < 0.2:
        out = out + torch.randn_like(out) * 8
    return out.clamp(0, 255)
