"""Bare sweeps and steps, and Forward-INF. Every time is of the work alone, without reading or writing files."""

import copy
import math
from time import perf_counter

import torch
from torch.nn.functional import cross_entropy

from speed.errors import Refused


def warm_up():
    """The optimisers import a compiler on first use, for seconds; that is in nobody's time."""
    net = torch.nn.Linear(2, 2)
    net(torch.ones(1, 2)).sum().backward()
    for optimizer in [optimizer_of("sgd", net, 0.1, 0.9), optimizer_of("adam", net, 0.1)]:
        optimizer.step()
        optimizer.zero_grad()


def optimizer_of(name, net, lr, momentum=0.0):
    if name == "sgd":
        return torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    if name == "adam":
        return torch.optim.Adam(net.parameters(), lr=lr)
    raise Refused(f"no optimizer is called {name!r}; there are sgd and adam")


def finite(value):
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


@torch.inference_mode()
def forward(net, split, batch):
    batches = split.batches(batch)
    net.eval()
    start = perf_counter()
    for x, _ in batches:
        net(x)
    return perf_counter() - start


@torch.inference_mode()
def logits(net, split, batch):
    net.eval()
    start = perf_counter()
    values = torch.cat([net(x) for x, _ in split.batches(batch)])
    return values, perf_counter() - start


@torch.inference_mode()
def losses(net, split, batch):
    """Cross-entropy of every sample, in eval mode."""
    net.eval()
    return torch.cat([cross_entropy(net(x), y, reduction="none") for x, y in split.batches(batch)])


def train_steps(net, split, batch, steps, lr, momentum, seed):
    """Steps on consecutive whole batches of a copy of the model, from the first sample on, again and again."""
    if not 0 < batch <= len(split) or steps < 1:
        raise Refused(f"{steps} steps of {batch} samples cannot be made of {len(split)}")
    torch.manual_seed(seed)
    net = copy.deepcopy(net).train()
    optimizer = optimizer_of("sgd", net, lr, momentum)
    batches = split.batches(batch)[: len(split) // batch]
    seen = []
    start = perf_counter()
    for step in range(steps):
        x, y = batches[step % len(batches)]
        optimizer.zero_grad()
        loss = cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        seen.append(loss.detach())
    seconds = perf_counter() - start
    return {"seconds": seconds, "first_loss": finite(seen[0].item()), "last_loss": finite(seen[-1].item())}


def stepped(net, x, y, lr, optimizer, ascent, mode):
    """A copy of the model after one step on these samples."""
    net = copy.deepcopy(net)
    net.train(mode == "train")
    optimizer = optimizer_of(optimizer, net, lr)
    loss = cross_entropy(net(x), y)
    (-loss if ascent else loss).backward()
    optimizer.step()
    return net


def forward_inf(
    net, data, batch, lr=5e-3, optimizer="adam", ascent=True, mode="train", signed=False, each=False, first=None, seed=0
):
    """Forward-INF (Ko et al., CVPR 2024): a step on the probe, and what it does to the loss of every training sample.

    As in the authors' notebook on leaks, the only application that they published code of: a copy of the model in train
    mode, one step of Adam up the loss, sweeps before and after in eval mode, and |loss after − loss before|. For
    `each` probe sample anew, as there, or with one step on the mean loss of the probe, which is what can be afforded.
    Where the notebook wastes time, this does not: the sweep before is made once, and no graph is kept in sweeps. `first`:
    only so many of the probe's samples, to measure what all would take.

    Larger is more suspicious. `signed`: a step that unlearns the probe unlearns what agrees with it, and a wrong label
    gains, so the score is what the loss falls; the other way round after a descent.
    """
    if mode not in ("train", "eval"):
        raise Refused(f"no mode is called {mode!r}; there are train and eval")
    torch.manual_seed(seed)
    start = perf_counter()
    before = losses(net, data.train, batch)
    base = sweeps = perf_counter() - start
    x, y = data.probe.x[:first], data.probe.y[:first]
    # A sample alone is taken twice, as in the notebook: batch normalisation wants more than one.
    probes = [(x[i].repeat(2, *[1] * (x.dim() - 1)), y[i].repeat(2)) for i in range(len(y))] if each else [(x, y)]
    scores = torch.zeros_like(before)
    for probe in probes:
        moved = stepped(net, *probe, lr, optimizer, ascent, mode)
        begun = perf_counter()
        change = losses(moved, data.train, batch) - before
        sweeps += perf_counter() - begun
        scores += (-change if ascent else change) if signed else change.abs()
    scores /= len(probes)
    seconds = perf_counter() - start
    return scores, {"seconds": seconds, "base_seconds": base, "sweep_seconds": sweeps, "steps": len(probes)}
