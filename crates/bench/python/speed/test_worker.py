"""Starts the worker as the benchmark does, and holds its answers against arithmetic of PyTorch's own.

    python crates/bench/python/speed/test_worker.py

Nothing of the worker is imported, so that no mistake is on both sides.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

WORKER = pathlib.Path(__file__).resolve().parent.parent / "speed_worker.py"
CLASSES, INPUTS, UNITS, SAMPLES, PROBE, WRONG = 4, 12, 24, 600, 80, 90


def mlp(weights, x):
    hidden = functional.linear(x.flatten(1), weights["first.weight"], weights["first.bias"]).relu()
    hidden = functional.linear(hidden, weights["second.weight"], weights["second.bias"]).relu()
    return functional.linear(hidden, weights["head.weight"], weights["head.bias"])


def cnn(weights, x):
    hidden = functional.conv2d(x, weights["first.weight"], weights["first.bias"], stride=2, padding=2).relu()
    hidden = functional.conv2d(hidden, weights["second.weight"], weights["second.bias"], stride=2, padding=1).relu()
    hidden = functional.linear(hidden.flatten(1), weights["hidden.weight"], weights["hidden.bias"]).relu()
    return functional.linear(hidden, weights["head.weight"], weights["head.bias"])


def resnet(weights, x):
    def norm(x, name):
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, weights[f"{name}.weight"], weights[f"{name}.bias"])

    hidden = norm(functional.conv2d(x, weights["conv.weight"], padding=1), "norm").relu()
    for name, stride in [("first", 1), ("second", 2), ("third", 2)]:
        short = hidden
        if stride == 2:
            short = norm(functional.conv2d(short, weights[f"{name}.short_conv.weight"], stride=2), f"{name}.short_norm")
        hidden = functional.conv2d(hidden, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
        hidden = functional.conv2d(norm(hidden, f"{name}.norm1").relu(), weights[f"{name}.conv2.weight"], padding=1)
        hidden = (norm(hidden, f"{name}.norm2") + short).relu()
    return functional.linear(hidden.mean(dim=(2, 3)), weights["head.weight"], weights["head.bias"])


def drawn(shapes):
    """Random weights; what divides is positive."""
    made = {name: torch.randn(shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5 for name, shape in shapes.items()}
    return {name: w.abs() + 0.5 if name.endswith("running_var") else w for name, w in made.items()}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def mlp_shapes():
    return linear("first", INPUTS, UNITS) | linear("second", UNITS, UNITS) | linear("head", UNITS, CLASSES)


def cnn_shapes():
    convs = {"first.weight": (5, 1, 5, 5), "first.bias": (5,), "second.weight": (6, 5, 3, 3), "second.bias": (6,)}
    return convs | linear("hidden", 6 * 3 * 2, 7) | linear("head", 7, CLASSES)


def resnet_shapes():
    shapes = {"conv.weight": (4, 3, 3, 3)} | linear("head", 16, CLASSES)
    norms = {"norm": 4}
    for name, inputs, outputs in [("first", 4, 4), ("second", 4, 8), ("third", 8, 16)]:
        shapes[f"{name}.conv1.weight"] = (outputs, inputs, 3, 3)
        shapes[f"{name}.conv2.weight"] = (outputs, outputs, 3, 3)
        norms |= {f"{name}.norm1": outputs, f"{name}.norm2": outputs}
        if inputs != outputs:
            shapes[f"{name}.short_conv.weight"] = (outputs, inputs, 1, 1)
            norms[f"{name}.short_norm"] = outputs
    for name, width in norms.items():
        shapes |= {f"{name}.{what}": (width,) for what in ["weight", "bias", "running_mean", "running_var"]}
    return shapes


def auroc(scores, wrong):
    """Share of pairs of a wrong and a right label in which the wrong one has the larger score."""
    above, below = scores[wrong][:, None], scores[~wrong][None, :]
    return float(((above > below) + 0.5 * (above == below)).mean())


def trained(x, y, weights, epochs):
    weights = {name: w.clone().requires_grad_() for name, w in weights.items()}
    optimizer = torch.optim.SGD(weights.values(), lr=0.02)
    for _ in range(epochs):
        for rows in torch.arange(len(y)).split(50):
            optimizer.zero_grad()
            functional.cross_entropy(mlp(weights, x[rows]), y[rows]).backward()
            optimizer.step()
    return {name: w.detach() for name, w in weights.items()}


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory()
        cls.directory = pathlib.Path(cls.kept.name)
        torch.manual_seed(0)
        torch.set_num_threads(1)
        centres = 1.2 * torch.randn(CLASSES, INPUTS)
        truth = torch.arange(SAMPLES) % CLASSES
        cls.x, cls.y = centres[truth] + torch.randn(SAMPLES, INPUTS), truth.clone()
        cls.y[:WRONG] = (truth[:WRONG] + 1 + torch.arange(WRONG) % (CLASSES - 1)) % CLASSES
        cls.wrong = np.arange(SAMPLES) < WRONG
        cls.probe_y = torch.arange(PROBE) % CLASSES
        cls.probe_x = centres[cls.probe_y] + torch.randn(PROBE, INPUTS)
        cls.weights = trained(cls.x, cls.y, drawn(mlp_shapes()), 5)
        cls.worker = subprocess.Popen(
            [sys.executable, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        cls.versions = cls.ask(do="hello", threads=1)
        cls.send("easy", cls.x, cls.y, cls.probe_x, cls.probe_y)
        cls.first = cls.save("first", drawn(mlp_shapes()))
        cls.last = cls.save("last", cls.weights)
        cls.ask(do="model", name="mlp", kind="mlp", shape=[INPUTS], classes=CLASSES, units=UNITS, weights=cls.last)

    @classmethod
    def tearDownClass(cls):
        answer = cls.ask(do="quit")
        rest, _ = cls.worker.communicate(timeout=60)
        cls.kept.cleanup()
        assert answer == {"ok": True} and rest == "" and cls.worker.returncode == 0

    @classmethod
    def line(cls, text):
        cls.worker.stdin.write(text + "\n")
        cls.worker.stdin.flush()
        return json.loads(cls.worker.stdout.readline())

    @classmethod
    def ask(cls, /, **request):
        answer = cls.line(json.dumps(request, default=str))
        assert answer.get("ok") is True, answer
        return answer

    @classmethod
    def send(cls, name, x, y, probe_x, probe_y):
        paths = {}
        for part, tensor in {"train": x, "labels": y, "probe": probe_x, "probe_labels": probe_y}.items():
            paths[part] = cls.directory / f"{name}-{part}"
            tensor.numpy().tofile(paths[part])
        answer = cls.ask(do="data", name=name, shape=list(x.shape[1:]), **paths)
        assert answer == {"ok": True, "samples": len(y), "probe": len(probe_y)}, answer

    @classmethod
    def save(cls, name, weights):
        path = cls.directory / f"{name}.safetensors"
        save_file({name: w.contiguous() for name, w in weights.items()}, path)
        return path

    def scores(self, /, **request):
        out = self.directory / "scores"
        answer = self.ask(data="easy", out=out, **request)
        self.assertGreater(answer["seconds"], 0)
        scores = np.fromfile(out, dtype="<f4")
        self.assertEqual(len(scores), SAMPLES)
        return scores, answer

    def head_gradients(self, weights, x, y):
        """The gradient of each sample's loss by the weights of the head, and nothing else."""
        head = weights["head.weight"].clone().requires_grad_()
        losses = functional.cross_entropy(mlp({**weights, "head.weight": head}, x), y, reduction="none")
        return torch.stack([torch.autograd.grad(loss, head, retain_graph=True)[0].flatten() for loss in losses])

    def test_hello_tells_versions(self):
        self.assertEqual(self.versions["torch"].split("+")[0], torch.__version__.split("+")[0])
        self.assertEqual(self.versions["threads"], 1)

    def test_logits_are_pytorchs(self):
        cases = [
            ("mlp", mlp, mlp_shapes(), [INPUTS], {"units": UNITS}),
            ("cnn", cnn, cnn_shapes(), [1, 10, 7], {"channels": [5, 6], "units": 7}),
            ("resnet", resnet, resnet_shapes(), [3, 9, 8], {"channels": [4, 8, 16]}),
        ]
        for kind, compute, shapes, shape, sizes in cases:
            with self.subTest(kind):
                weights, x, y = drawn(shapes), torch.randn(23, *shape), torch.arange(23) % CLASSES
                self.send(kind, x, y, x[:4], y[:4])
                # Another name in the file, as it may come from elsewhere.
                renamed = {("last" if name == "head.bias" else name): w for name, w in weights.items()}
                path, out = self.save(kind, renamed), self.directory / "logits"
                names = {"head.bias": "last"}
                request = {"kind": kind, "shape": shape, "classes": CLASSES, "weights": path, "names": names}
                answer = self.ask(do="model", name=f"a {kind}", **request, **sizes)
                stored = [w for name, w in weights.items() if "running" not in name]
                self.assertEqual(answer["parameters"], sum(w.numel() for w in stored))
                for part, expected in {"train": x, "probe": x[:4]}.items():
                    self.ask(do="logits", model=f"a {kind}", data=kind, set=part, batch=10, out=out)
                    found = np.fromfile(out, dtype="<f4").reshape(-1, CLASSES)
                    np.testing.assert_allclose(found, compute(weights, expected), rtol=1e-4, atol=1e-5)

    def test_bad_requests_are_answered_and_the_next_one_works(self):
        for text, says in [
            ("{", "not JSON"),
            ("[]", "a request is an object"),
            ('{"do": "dance"}', "a request is an object"),
            ('{"do": "forward", "model": "mlp", "data": "easy"}', "batch"),
            ('{"do": "forward", "model": "mlp", "data": "easy", "batch": 9, "bath": 9}', "bath"),
            ('{"do": "forward", "model": "none", "data": "easy", "batch": 9}', "no model is called 'none'"),
            ('{"do": "model", "name": "m", "kind": "mlp", "shape": [2], "classes": 2, "weights": "/n"}', "cannot read"),
        ]:
            answer = self.line(text)
            self.assertEqual(list(answer), ["error"], text)
            self.assertIn(says, answer["error"])
        missing = self.save("missing", {name: w for name, w in self.weights.items() if name != "head.bias"})
        request = {"do": "model", "name": "m", "kind": "mlp", "shape": [INPUTS], "classes": CLASSES, "units": UNITS}
        answer = self.line(json.dumps({**request, "weights": str(missing)}))
        self.assertIn("lacks ['head.bias']", answer["error"])
        self.assertGreater(self.ask(do="forward", model="mlp", data="easy", batch=100)["seconds"], 0)

    def test_steps_are_of_a_copy(self):
        out = self.directory / "logits"
        self.ask(do="logits", model="mlp", data="easy", batch=100, out=out)
        before = out.read_bytes()
        request = {"model": "mlp", "data": "easy", "batch": 64, "steps": 40, "lr": 0.05, "momentum": 0.9}
        answer = self.ask(do="train_steps", **request)
        self.assertGreater(answer["seconds"], 0)
        first = functional.cross_entropy(mlp(self.weights, self.x[:64]), self.y[:64])
        self.assertAlmostEqual(answer["first_loss"], float(first), places=4)
        self.assertLess(answer["last_loss"], answer["first_loss"])
        self.ask(do="logits", model="mlp", data="easy", batch=100, out=out)
        self.assertEqual(before, out.read_bytes())

    def test_forward_inf_is_a_directional_derivative(self):
        """A short step of plain SGD down the probe's loss changes a sample's loss by −lr ⟨∇probe, ∇sample⟩."""
        weights = {name: w.double().requires_grad_() for name, w in self.weights.items()}

        def gradient(x, y):
            loss = functional.cross_entropy(mlp(weights, x.double()), y)
            return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(weights.values()))])

        probe, lr = gradient(self.probe_x, self.probe_y), 1e-2
        rows = range(0, SAMPLES, 37)
        expected = [float(-lr * probe @ gradient(self.x[i : i + 1], self.y[i : i + 1])) for i in rows]
        request = {"do": "forward_inf", "model": "mlp", "batch": 100, "lr": lr, "optimizer": "sgd", "signed": True}
        down, _ = self.scores(**request, ascent=False)
        np.testing.assert_allclose(down[list(rows)], expected, rtol=0.05, atol=0.02 * np.abs(expected).max())
        up, _ = self.scores(**request, ascent=True)
        np.testing.assert_allclose(up[list(rows)], expected, rtol=0.05, atol=0.02 * np.abs(expected).max())

    def test_forward_inf_finds_flipped_labels(self):
        for settings in [{}, {"each": True}]:
            request = {"do": "forward_inf", "model": "mlp", "batch": 100, **settings}
            signed, answer = self.scores(**request, signed=True)
            plain, _ = self.scores(**request)
            print(f"forward_inf {settings}: signed {auroc(signed, self.wrong):.3f}, |Δ| {auroc(plain, self.wrong):.3f}")
            self.assertEqual(answer["steps"], PROBE if settings else 1)
            self.assertGreater(auroc(signed, self.wrong), 0.8)
            self.assertTrue((plain >= 0).all())
            again, _ = self.scores(**request)
            np.testing.assert_array_equal(plain, again)
            if not settings:
                np.testing.assert_array_equal(plain, np.abs(signed))
        _, answer = self.scores(do="forward_inf", model="mlp", batch=100, each=True, first=3)
        self.assertEqual(answer["steps"], 3)
        self.assertLess(answer["base_seconds"], answer["seconds"])

    def test_tracin_is_the_product_of_gradients(self):
        checkpoints, lr = [self.first, self.last], 0.1
        request = {"do": "tracin_fast", "model": "mlp", "batch": 250, "lr": lr, "checkpoints": checkpoints}
        self_influence, _ = self.scores(**request, self=True)
        influence, answer = self.scores(**request)
        self.assertGreater(answer["load_seconds"], 0)
        rows = list(range(0, SAMPLES, 61))
        own, on_probe = torch.zeros(len(rows)), torch.zeros(len(rows))
        for path in checkpoints:
            weights = load_file(path)
            gradients = self.head_gradients(weights, self.x[rows], self.y[rows])
            probe = self.head_gradients(weights, self.probe_x, self.probe_y)
            own += lr * gradients.square().sum(dim=1)
            on_probe -= lr * gradients @ probe.sum(dim=0)
        np.testing.assert_allclose(self_influence[rows], own, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(influence[rows], on_probe, rtol=1e-3, atol=1e-3)
        print(f"tracin_fast: {auroc(influence, self.wrong):.3f}, self {auroc(self_influence, self.wrong):.3f}")

    def test_cleanlab_finds_flipped_labels(self):
        request = {"do": "cleanlab", "kind": "mlp", "units": UNITS, "classes": CLASSES}
        request |= {"folds": 3, "epochs": 8, "lr": 0.05, "batch": 50}
        scores, answer = self.scores(**request, seed=7)
        print(f"cleanlab: {auroc(scores, self.wrong):.3f}, agreement {answer['agreement']:.3f}")
        self.assertGreater(auroc(scores, self.wrong), 0.9)
        self.assertGreater(min(answer["train_seconds"], answer["cleanlab_seconds"]), 0)
        again, _ = self.scores(**request, seed=7)
        np.testing.assert_array_equal(scores, again)
        other, _ = self.scores(**request, seed=8)
        self.assertFalse(np.array_equal(scores, other))


if __name__ == "__main__":
    unittest.main(verbosity=2)
