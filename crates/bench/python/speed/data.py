"""Samples, labels and probe in memory, and how a sweep goes through them."""

import math
import pathlib
from dataclasses import dataclass

import numpy as np
import torch

from speed.errors import Refused


@dataclass
class Split:
    """Samples and their labels."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self):
        return len(self.y)

    def batches(self, size):
        """Views of consecutive samples, the last one shorter. Nothing is copied: a sweep is the model's time."""
        return list(zip(self.x.split(size), self.y.split(size)))


@dataclass
class Data:
    """Raw files as `data` names them."""

    shape: list
    train: Split
    probe: Split


def load(train, labels, shape, probe, probe_labels):
    if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
        raise Refused(f"a shape is a list of positive numbers, not {shape}")
    return Data(shape, split(train, labels, shape), split(probe, probe_labels, shape))


def split(samples, labels, shape):
    x, y = raw(samples, "<f4"), raw(labels, "<i8")
    if x.size != y.size * math.prod(shape) or not y.size:
        raise Refused(
            f"{samples} holds {x.size} values: that is not {y.size} samples, as {labels} has labels, of shape {shape}"
        )
    if y.min() < 0:
        raise Refused(f"{labels} holds the label {y.min()}; classes are counted from 0")
    return Split(torch.from_numpy(x).reshape(-1, *shape), torch.from_numpy(y))


def raw(path, kind):
    try:
        size = pathlib.Path(path).stat().st_size
        if size % np.dtype(kind).itemsize:
            raise Refused(f"{path} is cut off: {size} bytes are no whole number of values")
        return np.fromfile(path, dtype=kind)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from error


def write(path, values):
    """Raw little-endian f32."""
    try:
        np.asarray(values, dtype="<f4").tofile(path)
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}") from error
