"""What the cards' machine code holds, without a card: registers, occupancy, and the instructions of
each kernel's main loop, kept as golden figures in one table that a person reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..figures import ARCHITECTURES, BOX, OCCUPANCY, REGISTERS, SHARE, Figures, Rows, rows_of
from ..turns import matrix_share

TABLE = Path(__file__).parents[3] / "golden" / "cuda" / "static.txt"

HEADER = f"""\
# The machine code of kernels: template, card, kernel; registers a thread, bytes of shared memory a
# block, bytes spilled, the share of warps in flight; instructions of the main loop (of the kernel,
# where it has none), behind a bar those of a usual turn, which does all that is copied and
# multiplied but nothing rare; and which there are in the loop, with boxes (UTMALDG) of the whole
# kernel, which other threads bring. Versions of the compiler may differ
# by {REGISTERS} registers, by {OCCUPANCY} of occupancy, and by {SHARE} of a loop in what an
# instruction's share of it is.
"""


def kept_rows() -> Rows:
    found: Rows = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            template, architecture, kernel, rest = line.split(maxsplit=3)
            found[template, architecture, kernel] = Figures.parse(rest)
    return found


def write_rows(rows: Rows) -> None:
    lines = [HEADER]
    for (template, architecture, kernel), figures in sorted(rows.items()):
        lines.append(f"{template:17} {architecture:6} {kernel:41} {figures}\n")
    TABLE.write_text("".join(lines))


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def rows(request: pytest.FixtureRequest, disassembler: None) -> Rows:
    """What the compiler makes for one card of all templates."""
    return rows_of(request.param)


def test_machine_code_is_as_it_was_kept(rows: Rows, request: pytest.FixtureRequest) -> None:
    kept = kept_rows()
    (architecture,) = {architecture for _, architecture, _ in rows}
    if request.config.getoption("--update-golden", default=False):
        others = {key: row for key, row in kept.items() if key[1] != architecture}
        write_rows({**others, **rows})
        kept = kept_rows()
    assert rows.keys() == {key for key in kept if key[1] == architecture}
    wrong = [
        f"{' '.join(key)}: {complaint}"
        for key, row in rows.items()
        for complaint in row.complaints(kept[key])
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_spilled(rows: Rows) -> None:
    assert not [key for key, row in rows.items() if row.spilled_bytes or row.share("LDL", "STL")]


# What share of the main loop the products themselves are, at least.
PRODUCTS = {
    "product_f32": ("FFMA", 0.87),
    "linear_f32": ("FFMA", 0.87),
    "product_bf16": ("HMMA", 0.6),
    "product_bf16_odd": ("HMMA", 0.6),
    "linear_f16": ("HMMA", 0.6),
    "product_rounded": ("HMMA", 0.6),
    "product_tf32": ("HMMA", 0.6),
    "layers_tf32": ("HMMA", 0.6),  # the second, of what the first has rounded
    # Where rounding beforehand does not pay: for 32 products of eight terms of TF32 a lane rounds
    # sixteen elements of either operand, each by two instructions, as infinities and NaN stay as
    # they are.
    "linear_tf32": ("HMMA", 0.27),
    # Convolutions, whose warps have 64 places by 64 filters, of 64 filters by two warps alone: 64
    # products need 16 loads of fragments and 12 copies (of TF32 as many), and for 8 of these a test
    # of the tap and an address: 0.59. The rest finds the tap of the step, waits, and does nothing
    # (three instructions at each barrier). Of 256 filters there are 8 copies, 4 with a test: 0.67.
    "conv_bf16": ("HMMA", 0.46),
    "conv_strided": ("HMMA", 0.51),
    "conv_tf32": ("HMMA", 0.43),
    "conv_f32": ("FFMA", 0.6),
}

# Of attention in a usual turn, in which sums do not shrink. The least there is for 64 keys of depth
# 64 and 32 queries: 136 products (8 of totals), 64 each of FFMA and MUFU for the weights, 32 that
# make pairs of these narrow, 32 of logic that look for a rise, 32 loads of fragments, 8 copies:
# 0.37. Of depth 128 there are half as many keys: 132 products, 32 FFMA, 32 MUFU, 16, 16, 48 and 8:
# 0.46. The rest are addresses, which would fill registers if they were kept.
ATTENTION = {
    ("attention_bf16", "blocked_attention_kernel"): ("HMMA", 0.29),
    ("attention_f16", "blocked_attention_kernel"): ("HMMA", 0.36),
    ("attention_f32", "blocked_attention_kernel"): ("FFMA", 0.9),
    # Weights take FFMA and MUFU, their changes FMUL, and each pair of either one more.
    ("attention_grad", "blocked_attention_gradient_1_kernel"): ("HMMA", 0.3),
    ("attention_grad", "blocked_attention_gradient_2_kernel"): ("HMMA", 0.26),
    ("attended_f32_grad", "blocked_attention_gradient_1_kernel"): ("FFMA", 0.85),
    ("attended_f32_grad", "blocked_attention_gradient_2_kernel"): ("FFMA", 0.85),
}

# What reads more than it multiplies, or is small.
FEW_PRODUCTS = {"attention_decode", "attended"}


def test_units_of_matrices_are_what_main_loops_wait_for(rows: Rows) -> None:
    """They are busy for six tenths of a turn at least, where instructions are those that a card is
    made for: on the first one `mma`, on the next those of warpgroups."""
    for key, row in rows.items():
        is_made_for = key[1] == "sm_80" or "HGMMA" in row.instructions
        if "matrix" in row.cycles and is_made_for and key[0] not in FEW_PRODUCTS:
            assert matrix_share(row.cycles) >= 0.6, key


def test_main_loops_of_attention_multiply(rows: Rows) -> None:
    seen = {(template, kernel): row for (template, _, kernel), row in rows.items()}
    for key, (name, least) in ATTENTION.items():
        row = seen[key]
        if "HGMMA" in row.instructions:  # which last: instructions do not tell
            assert row.instructions[BOX] > 0, key
            continue
        assert (row.usual_share(name) if name == "HMMA" else row.share(name)) >= least, key


def test_main_loops_of_products_multiply(rows: Rows) -> None:
    before = re.compile(r"_(turn|round)(_\d+)?_kernel$")  # what is done to factors
    kernels = {
        key: row for key, row in rows.items() if "matmul" in key[2] or "panel_conv" in key[2]
    }
    seen = {key[0]: row for key, row in kernels.items() if not before.search(key[2])}
    for template, (name, least) in PRODUCTS.items():
        row = seen[template]
        assert row.share(name) >= least or "HGMMA" in row.instructions, template
