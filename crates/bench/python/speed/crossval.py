"""cleanlab's label quality, on out-of-sample probabilities, which it asks for."""

import warnings
from time import perf_counter

import torch
from cleanlab.rank import get_label_quality_scores
from sklearn.model_selection import StratifiedKFold
from torch.nn.functional import cross_entropy

from speed import models
from speed.data import Split
from speed.errors import Refused
from speed.methods import logits, optimizer_of


def train(net, split, epochs, lr, momentum, optimizer, batch, shuffle):
    """Trains with batches drawn anew in every epoch."""
    net.train()
    optimizer = optimizer_of(optimizer, net, lr, momentum)
    for _ in range(epochs):
        for rows in torch.randperm(len(split), generator=shuffle).split(batch):
            optimizer.zero_grad()
            cross_entropy(net(split.x[rows]), split.y[rows]).backward()
            optimizer.step()


def quality(
    data, kind, classes, folds, epochs, lr, batch, momentum=0.9, optimizer="sgd", channels=None, units=None, seed=0
):
    """1 − self-confidence: one minus the probability that a model which has not seen a sample gives to its label."""
    split = data.train
    if int(split.y.max()) >= classes:
        raise Refused(f"the model has {classes} classes, but the data have the label {int(split.y.max())}")
    if not 2 <= folds <= len(split):
        raise Refused(f"{len(split)} samples cannot be divided into {folds} folds")
    start = perf_counter()
    probabilities = torch.zeros(len(split), classes)
    with warnings.catch_warnings():
        # A class smaller than the number of folds is no reason to stop.
        warnings.simplefilter("ignore", UserWarning)
        parts = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(split.y, split.y))
    for fold, (rest, held) in enumerate(parts):
        net = models.build(kind, data.shape, classes, channels, units, seed + fold)
        shuffle = torch.Generator().manual_seed(seed + fold)
        rest, held = torch.from_numpy(rest), torch.from_numpy(held)
        train(net, Split(split.x[rest], split.y[rest]), epochs, lr, momentum, optimizer, batch, shuffle)
        values, _ = logits(net, Split(split.x[held], split.y[held]), batch)
        probabilities[held] = values.softmax(dim=1)
    trained = perf_counter()
    scores = 1.0 - get_label_quality_scores(split.y.numpy(), probabilities.numpy(), method="self_confidence")
    end = perf_counter()
    agreement = (probabilities.argmax(dim=1) == split.y).float().mean().item()
    return scores, {
        "seconds": end - start,
        "train_seconds": trained - start,
        "cleanlab_seconds": end - trained,
        "agreement": agreement,
    }
