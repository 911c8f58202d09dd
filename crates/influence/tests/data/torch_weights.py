"""Makes torch_weights.safetensors and torch_weights.json: a small net of PyTorch's with weights, running statistics and
a counter, as `safetensors.torch.save_file(model.state_dict())` writes them, and what PyTorch says with it.

    pip install torch==2.9.0 safetensors numpy
    python torch_weights.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent

torch.manual_seed(7)
net = nn.Sequential(
    nn.Conv2d(1, 6, 3),
    nn.BatchNorm2d(6),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(6 * 2 * 2, 8),
    nn.Tanh(),
    nn.Linear(8, 3),
)
inputs = torch.randn(64, 1, 4, 4)
labels = torch.randint(0, 3, (64,))
# A few steps, so that running statistics are not what they are at first.
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(5):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(inputs), labels).backward()
    optimizer.step()
net.eval()
save_file(net.state_dict(), HERE / "torch_weights.safetensors")
with torch.inference_mode():
    says = {"torch": torch.__version__, "inputs": inputs[:8].flatten(1).tolist(), "logits": net(inputs[:8]).tolist()}
(HERE / "torch_weights.json").write_text(json.dumps(says) + "\n")
