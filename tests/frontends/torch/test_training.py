"""Training by `torch.compile(model, backend="mlir_lite")`, held against torch's own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = pytest.importorskip("torch")
    nn = torch.nn

from frontends.torch.modules import module
from mlir_lite.frontends.torch import backend
from mlir_lite.frontends.torch.partition import attention_gradient

F = nn.functional
pytestmark = pytest.mark.usefixtures("fresh")


def compiled(model: Any) -> Any:
    return torch.compile(model, backend=backend)


def residual() -> Any:
    """A ResNet of one block, whose shortcut halves the image."""

    def forward(self: Any, x: Any, target: Any) -> Any:
        x = F.max_pool2d(F.relu(self.first_norm(self.first(x)), inplace=True), 3, 2, 1)
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))
        y = F.adaptive_avg_pool2d(y, 1).flatten(1)
        return F.cross_entropy(self.last(y), target, label_smoothing=0.1)

    return module(
        "Residual",
        forward,
        first=nn.Conv2d(3, 4, 3, padding=1, bias=False),
        first_norm=nn.BatchNorm2d(4),
        conv1=nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        norm1=nn.BatchNorm2d(6),
        conv2=nn.Conv2d(6, 6, 3, padding=1, bias=False),
        norm2=nn.BatchNorm2d(6, momentum=0.3),
        shortcut=nn.Sequential(nn.Conv2d(4, 6, 1, stride=2), nn.BatchNorm2d(6, affine=False)),
        last=nn.Linear(6, 5),
    )


def transformer() -> Any:
    """A block of a GPT, with its embeddings."""

    def forward(self: Any, tokens: Any, target: Any) -> Any:
        batch, length = tokens.shape
        x = self.tokens(tokens) + self.places(torch.arange(length).expand(batch, length))
        apart = self.qkv(self.norm1(x)).view(batch, length, 3, 2, 4).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*apart, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, 8))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return F.cross_entropy(self.head(x).view(-1, 11), target.view(-1), ignore_index=2)

    return module(
        "Transformer",
        forward,
        tokens=nn.Embedding(11, 8),
        places=nn.Embedding(6, 8),
        qkv=nn.Linear(8, 24),
        out=nn.Linear(8, 8),
        norm1=nn.LayerNorm(8),
        norm2=nn.LayerNorm(8),
        up=nn.Linear(8, 16),
        down=nn.Linear(16, 8),
        head=nn.Linear(8, 11),
    )


def separable() -> Any:
    """Depthwise and transposed convolutions, borders of the other side, and norms of groups."""

    def forward(self: Any, x: Any, _: Any) -> Any:
        y = F.avg_pool2d(F.leaky_relu(self.depthwise(x)), 3, 2, 1, count_include_pad=False)
        y = F.silu(self.norm(self.back(F.hardtanh(y))))
        y = F.softmax(F.adaptive_avg_pool2d(y, (3, 2)), 1)
        return self.slope(y - 0.3).square().mean()

    return module(
        "Separable",
        forward,
        depthwise=nn.Conv2d(3, 6, 3, padding=1, groups=3, padding_mode="circular"),
        back=nn.ConvTranspose2d(6, 4, 3, 2, 1, output_padding=1),
        norm=nn.GroupNorm(2, 4),
        slope=nn.PReLU(),
    )


def segmenter() -> Any:
    """A U-Net of one step down and up, with borders of what is inside, and a mask and a score."""

    def forward(self: Any, x: Any, target: Any) -> Any:
        fine = F.relu(self.norm(self.fine(x)))
        deep = self.deep(F.max_pool2d(fine, 2))
        up = F.interpolate(deep, scale_factor=2, mode="bilinear")
        mask = self.mask(torch.cat([up, F.interpolate(deep, scale_factor=2), fine], 1))
        score = F.adaptive_max_pool2d(deep, (2, 1)).flatten(1)
        return mask.square().mean() + F.cross_entropy(score, target)

    return module(
        "Segmenter",
        forward,
        fine=nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        norm=nn.InstanceNorm2d(4, affine=True),
        deep=nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"),
        mask=nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 2, 1)),
    )


def images(rows: int, dtype: Any) -> tuple[Any, ...]:
    return torch.randn(rows, 3, 9, 8, dtype=dtype), torch.randint(5, (rows,))


def pictures(rows: int, dtype: Any) -> tuple[Any, ...]:
    """Of another size with every number of them."""
    return torch.randn(rows, 3, 2 * rows, 2 * rows + 2, dtype=dtype), torch.randint(5, (rows,))


def tokens(rows: int, _: Any) -> tuple[Any, ...]:
    return torch.randint(11, (rows, 6)), torch.randint(11, (rows, 6))


@pytest.mark.parametrize(
    ("made", "data", "dtype"),
    [
        (residual, images, torch.float64),
        (residual, images, torch.float32),
        (transformer, tokens, torch.float64),
        (separable, images, torch.float64),
        (separable, pictures, torch.float64),
        (segmenter, pictures, torch.float64),
    ],
)
def test_steps_of_training_are_those_of_torch(made: Any, data: Any, dtype: Any) -> None:
    """Weights and running statistics after a step each of two batches of different sizes."""
    torch.manual_seed(0)
    net = made().to(dtype).train()
    best = copy.deepcopy(net)
    fast = compiled(net)
    # A step of the optimiser moves a weight by about what its gradient is.
    optimisers = [torch.optim.SGD(model.parameters(), lr=1.0) for model in (net, best)]
    for rows in (4, 3):
        given = data(rows, dtype)
        losses = fast(*given), best(*given)
        for loss, optimiser in zip(losses, optimisers, strict=True):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        # Sums of some hundred products, in another order than torch's.
        close = {"rtol": 0, "atol": 1e-11 if dtype == torch.float64 else 1e-4}
        torch.testing.assert_close(*losses, **close)
        torch.testing.assert_close(net.state_dict(), best.state_dict(), **close)


def test_gradients_of_masked_attention_are_those_of_torch() -> None:
    """A row that sees nothing gives nothing back."""
    mask = torch.tensor([[True, False, True], [False, False, False]])
    q, dy, k, v = (torch.randn(2, 2, rows, 4, dtype=torch.float64) for rows in (2, 2, 3, 3))

    def gradients(attention: Any, mask: Any) -> Any:
        given = [side.clone().requires_grad_() for side in (q, k, v)]
        return torch.autograd.grad(attention(*given, mask), given, dy)

    for own in (mask, torch.zeros(2, 3, dtype=torch.float64).masked_fill(~mask, -torch.inf)):
        found = gradients(compiled(F.scaled_dot_product_attention), own)
        torch.testing.assert_close(found, gradients(F.scaled_dot_product_attention, mask))


def test_torch_itself_runs_the_gradient_of_attention_where_it_runs_a_graph() -> None:
    q, k, v, dy = (torch.randn(1, 2, 5, 4) for _ in range(4))
    given = [side.requires_grad_() for side in (q, k, v)]
    y = F.scaled_dot_product_attention(*given, is_causal=True, scale=0.3)
    wanted = torch.autograd.grad(y, given, dy)
    found = attention_gradient(dy, q, k, v, y, 0.0, True, scale=0.3)
    torch.testing.assert_close(found, wanted)


def test_dropout_follows_the_seed_and_gradients_what_it_kept() -> None:
    fast = compiled(lambda x: F.dropout(x, 0.25))
    x = torch.ones(100, 100, requires_grad=True)
    torch.manual_seed(1)
    first, second = fast(x), fast(x)
    torch.manual_seed(1)
    torch.testing.assert_close(fast(x), first)
    assert (first != second).double().mean() > 0.3
    kept = (first != 0).double().mean()
    assert abs(kept - 0.75) < 0.02  # four deviations of the mean of 10 000 draws
    torch.testing.assert_close(first, (first != 0) / 0.75)
    (dx,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(dx, first)


def test_random_numbers_have_their_distributions() -> None:
    def draw(x: Any) -> Any:
        channels = F.dropout1d(torch.ones(2, 5000, 2), 0.4)
        uniform, normal = torch.rand(10000), torch.randn(10000)
        return uniform, torch.rand_like(x), normal, torch.randn_like(x), channels

    x = torch.empty(10000, dtype=torch.float64)
    uniform, uniform_like, normal, normal_like, channels = compiled(draw)(x)
    assert uniform_like.dtype == normal_like.dtype == torch.float64
    moments = [(0.5, 12**-0.5)] * 2 + [(0, 1)] * 2
    drawn = uniform, uniform_like, normal, normal_like
    for numbers, (mean, deviation) in zip(drawn, moments, strict=True):
        assert abs(numbers.mean() - mean) < 0.05 * deviation  # five deviations of the mean
        assert abs(numbers.std() - deviation) < 0.05 * deviation
    assert not torch.equal(uniform, uniform_like.float())
    assert torch.equal(channels[..., 0], channels[..., 1])
    assert abs((channels != 0).double().mean() - 0.6) < 0.03
