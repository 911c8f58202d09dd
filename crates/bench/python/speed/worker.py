"""Reads requests, answers each. A handler's keyword arguments are a request's fields."""

import inspect
import json
import math
import os
import sys
import traceback
from dataclasses import dataclass, field

import captum
import cleanlab
import numpy as np
import torch

from speed import data as datasets
from speed import crossval, methods, models, tracin
from speed.errors import Refused


@dataclass
class Model:
    """A model, and the names that its weights have in files."""

    net: torch.nn.Module
    names: dict
    values: int
    classes: int


@dataclass
class Worker:
    """What earlier requests have left."""

    data: dict = field(default_factory=dict)
    models: dict = field(default_factory=dict)

    def both(self, model, data):
        """The model and the data of these names."""
        for kind, kept, name in [("model", self.models, model), ("data", self.data, data)]:
            if name not in kept:
                raise Refused(f"no {kind} is called {name!r}; send a {kind!r} request first")
        model, data = self.models[model], self.data[data]
        if model.values != math.prod(data.shape):
            raise Refused(f"the model takes {model.values} values a sample, but the data have shape {data.shape}")
        highest = int(max(data.train.y.max(), data.probe.y.max()))
        if highest >= model.classes:
            raise Refused(f"the model has {model.classes} classes, but the data have the label {highest}")
        return model, data


def hello(worker, *, threads, flush_denormals=False):
    """Threads, and versions. Comes first: threads that already run keep how they treat denormals."""
    torch.set_flush_denormal(flush_denormals)
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)
    methods.warm_up()
    return {
        "torch": torch.__version__,
        "captum": captum.__version__,
        "cleanlab": cleanlab.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def data(worker, *, name, train, labels, shape, probe, probe_labels):
    worker.data[name] = loaded = datasets.load(train, labels, shape, probe, probe_labels)
    return {"samples": len(loaded.train), "probe": len(loaded.probe)}


def model(worker, *, name, kind, shape, classes, weights=None, names=None, channels=None, units=None, seed=0):
    net = models.build(kind, shape, classes, channels, units, seed)
    if weights is not None:
        net.load_state_dict(models.read(net, weights, names or {}))
    worker.models[name] = Model(net.eval(), names or {}, math.prod(shape), classes)
    return {"parameters": sum(p.numel() for p in net.parameters())}


def logits(worker, *, model, data, batch, out, set="train"):
    model, data = worker.both(model, data)
    if set not in ("train", "probe"):
        raise Refused(f"no set is called {set!r}; there are train and probe")
    values, seconds = methods.logits(model.net, getattr(data, set), batch)
    datasets.write(out, values)
    return {"samples": len(values), "classes": values.shape[1], "seconds": seconds}


def forward(worker, *, model, data, batch):
    model, data = worker.both(model, data)
    return {"seconds": methods.forward(model.net, data.train, batch)}


def train_steps(worker, *, model, data, batch, steps, lr, momentum=0.0, seed=0):
    model, data = worker.both(model, data)
    return methods.train_steps(model.net, data.train, batch, steps, lr, momentum, seed)


def forward_inf(worker, *, model, data, batch, out, **settings):
    model, data = worker.both(model, data)
    scores, answer = methods.forward_inf(model.net, data, batch, **settings)
    datasets.write(out, scores)
    return answer


def tracin_fast(worker, *, model, data, batch, lr, checkpoints, out, self=False, seed=0):
    model, data = worker.both(model, data)
    scores, answer = tracin.fast(model, data, batch, lr, checkpoints, self, seed)
    datasets.write(out, scores)
    return answer


def cleanlab_scores(worker, *, data, out, **settings):
    if data not in worker.data:
        raise Refused(f"no data is called {data!r}; send a 'data' request first")
    scores, answer = crossval.quality(worker.data[data], **settings)
    datasets.write(out, scores)
    return answer


HANDLERS = {
    "hello": hello,
    "data": data,
    "model": model,
    "logits": logits,
    "forward": forward,
    "train_steps": train_steps,
    "forward_inf": forward_inf,
    "tracin_fast": tracin_fast,
    "cleanlab": cleanlab_scores,
    "quit": lambda worker: {},
}


def answer(worker, line):
    """The answer to one line, and whether it was the last one."""
    try:
        try:
            request = json.loads(line)
        except ValueError as error:
            raise Refused(f"the line is not JSON: {error}") from error
        if not isinstance(request, dict) or request.get("do") not in HANDLERS:
            raise Refused(f"a request is an object whose `do` is one of {', '.join(HANDLERS)}")
        do = request.pop("do")
        try:
            inspect.signature(HANDLERS[do]).bind(worker, **request)
        except TypeError as error:
            raise Refused(f"the fields of {do!r} are wrong: {error}") from error
        result = HANDLERS[do](worker, **request)
        return json.dumps({"ok": True, **result}, allow_nan=False), do == "quit"
    except Refused as error:
        return json.dumps({"error": str(error)}), False
    except Exception as error:
        traceback.print_exc()
        return json.dumps({"error": f"{type(error).__name__}: {error}"}), False


def main():
    # Libraries print, some of them from C. Only answers reach the real stdout.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin.buffer:
        text, last = answer(worker, line)
        print(text, file=answers, flush=True)
        if last:
            break
