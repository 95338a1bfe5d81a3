"""A model of PyTorch, brought over whole, and a second way: torch.compile with this compiler.

    pip install 'mlir-lite[torch]'
    python examples/16_torch_model.py
"""

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import mlir_lite as ml
from mlir_lite.frontends.torch import backend


class Block(nn.Module):  # type: ignore[misc]  # torch has no static types
    """A layer of a transformer over `(batch, time, width)`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        wide = nn.Linear(width, 4 * width)
        self.feed = nn.Sequential(wide, nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Any) -> Any:
        parts = self.inputs(self.before(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(seen.transpose(1, 2).flatten(2))
        return x + self.feed(self.between(x))


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Block(64, 4), Block(64, 4)).eval()
    x = torch.randn(2, 16, 64)

    # The length stays open, by the name of its Dim; each operation knows its line above.
    fn = ml.from_torch(model, x, dynamic_shapes=({1: torch.export.Dim("time")},))
    attention = next(node for node in fn.nodes if node.op.name == "attention")
    print(f"{fn.params[0].type}; attention at {attention.location}")

    run = ml.compile(fn)
    for time in (16, 40):
        x = torch.randn(2, time, 64)
        best = model.double()(x.double()).detach().numpy()  # in float64
        own = model.float()(x).detach().numpy()
        ours = np.abs(run(x) - best).max() / np.abs(best).max()
        theirs = np.abs(own - best).max() / np.abs(best).max()
        print(f"{time} steps: error {ours:.0e}, torch's {theirs:.0e}: {ours < 2 * theirs}")

    # After `pip install`, backend="mlir_lite" is the same.
    fast = torch.compile(model, backend=backend)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")  # of what torch would have to run itself
        print(f"torch.compile as torch: {torch.allclose(fast(x), model(x), atol=1e-5)}")


if __name__ == "__main__":
    main()
