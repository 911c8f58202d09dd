"""Captum's TracInCPFast, in its best case."""

import copy
from time import perf_counter

import torch
from captum.influence import TracInCPFast
from torch.utils.data import DataLoader, Dataset

from speed import models
from speed.errors import Refused


class Batches(Dataset):
    """Whole batches as samples, so that no loader puts single ones together."""

    def __init__(self, split, size):
        self.batches = split.batches(size)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def load(net, checkpoint):
    """Captum asks for the learning rate in return."""
    weights, lr = checkpoint
    net.load_state_dict(weights)
    return lr


def fast(model, data, batch, lr, checkpoints, self_influence, seed):
    """Influence of the head's weights (Captum leaves out its bias), summed over checkpoints.

    Larger is more suspicious. On the probe: minus the sum over its samples, since what opposes the probe is suspicious.
    Captum goes through the probe anew with every batch of training samples, so large batches are its best case. Its
    answer is a matrix of probe × training samples, held in memory whole. Self-influence needs no probe.

    The best case, beyond what its tutorials do: checkpoints are read once, before, and only the head keeps gradients.
    """
    if not checkpoints:
        raise Refused("TracIn needs at least one checkpoint")
    torch.manual_seed(seed)
    net = copy.deepcopy(model.net).eval().requires_grad_(False)
    start = perf_counter()
    states = [(models.read(net, path, model.names), lr) for path in checkpoints]
    load_seconds = perf_counter() - start
    start = perf_counter()
    tracin = TracInCPFast(
        model=net,
        final_fc_layer=net.head,
        train_dataset=DataLoader(Batches(data.train, batch), batch_size=None),
        checkpoints=states,
        checkpoints_load_func=load,
        loss_fn=torch.nn.CrossEntropyLoss(reduction="sum"),
    )
    if self_influence:
        # With the other order of loops a checkpoint is put into the model for every batch.
        scores = tracin.self_influence(outer_loop_by_checkpoints=True)
    else:
        scores = -tracin.influence((data.probe.x, data.probe.y)).sum(dim=0)
    seconds = perf_counter() - start
    return scores.detach(), {"seconds": seconds, "load_seconds": load_seconds}
