"""How long a turn of a loop keeps the units of a card busy."""

from __future__ import annotations

import pytest

from mlir_lite.backends.cuda.code.sass import Instruction

from ..turns import cycles, matrix_share, most_products


def code(*lines: str) -> list[Instruction]:
    parts = [line.partition(" ") for line in lines]
    return [Instruction(opcode, operands, False) for opcode, _, operands in parts]


@pytest.mark.parametrize(
    ("line", "card", "unit", "expected"),
    [
        # 2 * 312e12 / 2 products a second of 108 multiprocessors at 1.41 GHz are 1024 a cycle.
        ("HMMA.16816.F32.BF16 R4, R8, R12, R4", "sm_80", "matrix", 8),
        ("HMMA.1688.F32.TF32 R4, R8, R12, R4", "sm_80", "matrix", 8),
        ("HGMMA.64x256x16.F32.BF16 R24, gdesc[UR4], R24", "sm_90a", "matrix", 128),
        ("HGMMA.64x256x8.F32.TF32 R24, gdesc[UR4], R24", "sm_90a", "matrix", 128),
        ("FFMA R1, R2, R3, R4", "sm_80", "floats", 2),
        ("FFMA R1, R2, R3, R4", "sm_90a", "floats", 1),
        ("FFMA2 R2, R4, R6, R8", "sm_100", "floats", 2),
        ("MUFU.EX2 R1, R2", "sm_90a", "special", 8),
        ("LDSM.16.MT88.4 R4, [R8]", "sm_80", "shared", 16),
        ("LDS.128 R4, [R8]", "sm_80", "shared", 16),
        ("LDGSTS.E.BYPASS.128 [R8], [R4.64]", "sm_80", "shared", 16),
        ("LDS R4, [R8]", "sm_80", "shared", 4),
        ("LDS RZ, [RZ]", "sm_80", "shared", 0),  # does nothing
    ],
)
def test_an_instruction_takes_cycles_of_its_unit(
    line: str, card: str, unit: str, expected: int
) -> None:
    found = cycles(code(line), card)
    assert found.get(unit, 0) == expected and found["issue"] == 1


def test_the_unit_that_is_busy_longest_tells_the_share() -> None:
    turn = cycles(code(*["HMMA.16816.F32"] * 2, *["LDSM.16.M88.4 R4, [R8]"] * 2), "sm_80")
    assert list(turn) == ["shared", "matrix", "issue"]
    assert matrix_share(turn) == 0.5


def test_arithmetic_of_softmax_bounds_products() -> None:
    for size, most in ((64, 8 / 18), (128, 16 / 26)):
        assert most_products("blocked_attention_kernel", size) == most
    assert most_products("blocked_attention_gradient_2_kernel", 64) == 0.5
