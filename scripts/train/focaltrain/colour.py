"""Changes of colour, the same for both students."""

import numpy as np
import torch
from torch import Tensor


def colour(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Gain, tint, contrast and, now and then, grey and noise; pixels 0..255."""
    n = len(x)

    def each(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(x.device)

    x = x * each(rng.uniform(0.75, 1.3, (n, 1, 1, 1)) * rng.uniform(0.9, 1.1, (n, 3, 1, 1)))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * each(rng.uniform(0.75, 1.3, (n, 1, 1, 1))) + mean
    grey = x.mean(1, keepdim=True)
    keep = each(np.where(rng.random((n, 1, 1, 1)) < 0.1, 0.0, rng.uniform(0.7, 1.3, (n, 1, 1, 1))))
    x = grey + (x - grey) * keep
    if rng.random() < 0.2:
        x = x + torch.randn_like(x) * 8
    return x.clamp(0, 255)
