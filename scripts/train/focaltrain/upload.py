"""From the host's memory to the device that trains."""

import numpy as np
import torch
from torch import Tensor


def upload(values: np.ndarray, device: str | torch.device) -> Tensor:
    """The host goes on at once; a plain copy to a card waits until the card has done all it was told before."""
    tensor = torch.from_numpy(values)
    if torch.device(device).type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
