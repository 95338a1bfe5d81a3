"""Numbers that are made."""

from __future__ import annotations

import torch

from frontends.torch.cases.tensors import Calls, r

CALLS: Calls = {
    "numbers": [
        (lambda x: x + torch.arange(3), (r(3),)),
        (lambda x: x + torch.arange(1, 7, 2), (r(3),)),
        (lambda x: x + torch.arange(0.5, 2, 0.5), (r(3),)),
        (lambda x: x + torch.linspace(0, 1, 3), (r(3),)),
        (lambda x: x + torch.zeros(3) + torch.ones(3) + torch.full((3,), 2.5), (r(3),)),
        (lambda x: torch.zeros_like(x) + torch.ones_like(x) + torch.full_like(x, 2), (r(3),)),
        (lambda x: x.new_zeros(3) + x.new_ones(3) + x.new_full((3,), 2), (r(3),)),
        (lambda x: x + torch.eye(3) + torch.eye(2, 3)[0], (r(3, 3),)),
        (lambda x: x + torch.tensor([1.0, 2.0, 3.0]), (r(3),)),
        (lambda x: x + torch.tensor(2), (r(3),)),
        (lambda x: x + torch.scalar_tensor(2.5), (r(3),)),
        (lambda x: torch.empty_like(x).fill_(3), (r(3),)),
        (lambda x: x + torch.empty(3).zero_(), (r(3),)),
    ],
}
