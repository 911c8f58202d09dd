"""The models, as Burn has them: the same layers by the same names, so that weights go from one to the other."""

import math

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from speed.errors import Refused

# Counted by PyTorch's batch normalisation in training, and not by Burn's.
PYTORCH_ONLY = "num_batches_tracked"


class Mlp(nn.Module):
    """D → units → units → K with ReLU, as `Mlp` in crates/mirrorwatch/src/stock/model.rs."""

    def __init__(self, shape, classes, units):
        super().__init__()
        self.first = nn.Linear(math.prod(shape), units)
        self.second = nn.Linear(units, units)
        self.head = nn.Linear(units, classes)

    def forward(self, x):
        hidden = functional.relu(self.first(x.flatten(1)))
        return self.head(functional.relu(self.second(hidden)))


class Cnn(nn.Module):
    """Two strided convolutions and two linear layers with ReLU, as `Cnn` in the same file."""

    def __init__(self, shape, classes, channels, units):
        super().__init__()
        self.shape = image(shape)
        one, two = channels
        quarter = [-(-side // 4) for side in self.shape[1:]]
        self.first = nn.Conv2d(self.shape[0], one, 5, stride=2, padding=2)
        self.second = nn.Conv2d(one, two, 3, stride=2, padding=1)
        self.hidden = nn.Linear(two * math.prod(quarter), units)
        self.head = nn.Linear(units, classes)

    def forward(self, x):
        hidden = functional.relu(self.first(x.reshape(-1, *self.shape)))
        hidden = functional.relu(self.second(hidden))
        return self.head(functional.relu(self.hidden(hidden.flatten(1))))


class Block(nn.Module):
    """A basic block of He et al. (CVPR 2016), with a projection where the shapes differ."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.short_conv = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.short_norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        hidden = functional.relu(self.norm1(self.conv1(x)))
        short = self.short_norm(self.short_conv(x)) if self.projects else x
        return functional.relu(self.norm2(self.conv2(hidden)) + short)


class ResNet(nn.Module):
    """A convolution, three stages of one block each, global average pooling, and a linear layer."""

    def __init__(self, shape, classes, channels):
        super().__init__()
        self.shape = image(shape)
        one, two, three = channels
        self.conv = nn.Conv2d(self.shape[0], one, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(one)
        self.first = Block(one, one, 1)
        self.second = Block(one, two, 2)
        self.third = Block(two, three, 2)
        self.head = nn.Linear(three, classes)

    def forward(self, x):
        hidden = functional.relu(self.norm(self.conv(x.reshape(-1, *self.shape))))
        hidden = self.third(self.second(self.first(hidden)))
        return self.head(hidden.mean(dim=(2, 3)))


def image(shape):
    if len(shape) == 2:
        return [1, *shape]
    if len(shape) == 3:
        return list(shape)
    raise Refused(f"the model takes images of shape [H, W] or [C, H, W], not {shape}; use the mlp")


def build(kind, shape, classes, channels=None, units=None, seed=0):
    """A model with PyTorch's own initial weights. Its last layer is `head`."""
    torch.manual_seed(seed)
    if kind == "mlp":
        return Mlp(shape, classes, units or 512)
    if kind == "cnn":
        return Cnn(shape, classes, channels or [16, 32], units or 64)
    if kind == "resnet":
        return ResNet(shape, classes, channels or [16, 32, 64])
    raise Refused(f"no model is called {kind!r}; there are mlp, cnn and resnet")


def read(net, path, names):
    """The weights of `net` in a safetensors file with PyTorch's layout, all of them and none left over.

    `names` has the file's name for a weight where that differs.
    """
    try:
        found = load_file(path)
    except Exception as error:
        raise Refused(f"cannot read weights from {path}: {error}") from error
    wanted = net.state_dict()
    unknown = sorted(set(names) - set(wanted))
    if unknown:
        raise Refused(f"`names` has {unknown[0]}, but the model's weights are {', '.join(wanted)}")
    weights, missing = {}, []
    for name, current in wanted.items():
        tensor = found.pop(names.get(name, name), None)
        if tensor is None and name.endswith(PYTORCH_ONLY):
            tensor = current
        if tensor is None:
            missing.append(names.get(name, name))
        elif tensor.shape != current.shape:
            shapes = f"{list(tensor.shape)} in {path}, {list(current.shape)} in the model"
            raise Refused(f"{name} has shape {shapes}; is the file in PyTorch's layout?")
        else:
            weights[name] = tensor.to(current.dtype)
    left = sorted(name for name in found if not name.endswith(PYTORCH_ONLY))
    if missing or left:
        raise Refused(f"{path} lacks {missing} and has {left} beside the model's; map them with `names`")
    return weights
