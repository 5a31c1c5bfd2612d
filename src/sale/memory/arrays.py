"""Arrays that grow at their end."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)


def grow(array: NDArray[Kind], size: int) -> NDArray[Kind]:
    """A copy with room to spare, filled with zeros: appending one by one stays cheap."""
    larger = np.zeros((max(size, 64, len(array) * 3 // 2), *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
