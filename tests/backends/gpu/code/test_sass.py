"""Machine code as text: its instructions, its loops; and how many warps are in flight."""

from __future__ import annotations

import pytest

from mlir_lite.backends.cuda.code.nvrtc import Usage
from mlir_lite.backends.cuda.code.occupancy import blocks_in_flight, occupancy
from mlir_lite.backends.cuda.code.sass import Listing, counts, listings

from ..compiled import card

# An outer loop with two loops in it, the second with a branch (a call that does not come back) to a
# part that lies after the end, as compilers put what is rarely done; then a trap that nothing comes
# to.
TEXT = """
.section .text.k,"ax",@progbits
.text.k:
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_0:
        /*0010*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
.L_x_1:
        /*0020*/                   FADD R0, R0, R4 ;
        /*0030*/               @P0 BRA `(.L_x_1) ;
.L_x_2:
        /*0040*/              @!P1 LDGSTS.E.BYPASS.128 [R1], desc[UR4][R2.64] ;
        /*0050*/               @P2 CALL.REL.NOINC `(.L_x_4) ;
.L_x_3:
        /*0060*/                   FFMA R0, R0, R0, R0 ;
        /*0070*/                   BRA.U UP0, `(.L_x_2) ;
        /*0080*/               @P1 BRA `(.L_x_0) ;
        /*0090*/                   EXIT ;
.L_x_4:
        /*00a0*/                   MUFU.RCP R0, R0 ;
        /*00b0*/                   BRA `(.L_x_3) ;
.L_x_5:
        /*00c0*/                   BRA `(.L_x_5);
        /*00d0*/                   NOP;
"""


def listing() -> Listing:
    (found,) = listings(TEXT).values()
    return found


def test_loops_are_found_with_what_lies_elsewhere() -> None:
    assert listing().loops() == {
        1: frozenset(range(1, 9)) | {10, 11},
        2: {2, 3},
        4: {4, 5, 6, 7, 10, 11},
    }


def test_the_main_loop_is_the_longest_of_the_innermost() -> None:
    loop = listing().main_loop()
    assert counts(loop) == {"LDGSTS.128": 1, "FFMA": 1, "MUFU": 1, "BRA": 2, "CALL": 1}
    assert [instruction.is_guarded for instruction in loop][:2] == [True, True]


def test_a_usual_turn_leaves_out_what_is_rarely_done() -> None:
    turn = listing().usual_turn()
    assert counts(turn) == {"LDGSTS.128": 1, "CALL": 1, "FFMA": 1, "BRA": 1}


def test_a_usual_turn_has_all_copies_even_where_it_could_be_without() -> None:
    skipped = TEXT.replace("MUFU.RCP R0, R0", "LDGSTS.E.128 [R1], desc[UR4][R2.64]")
    (found,) = listings(skipped).values()
    assert counts(found.usual_turn())["LDGSTS.128"] == 2


def test_the_usual_turn_of_a_kernel_without_loops_is_all_of_it() -> None:
    text = ".text.k:\n /*0000*/ IADD3 R0, R1, R2, RZ ;\n /*0010*/ EXIT ;\n"
    assert len(listings(text)["k"].usual_turn()) == 2


def test_a_kernel_without_loops_is_its_own() -> None:
    text = ".text.k:\n /*0000*/ IADD3 R0, R1, R2, RZ ;\n /*0010*/ EXIT ;\n"
    assert counts(listings(text)["k"].main_loop()) == {"IADD3": 1, "EXIT": 1}


@pytest.mark.parametrize(
    ("usage", "threads", "name", "blocks"),
    # As NVIDIA's own table of occupancies says.
    [
        (Usage(32, 0, 0), 256, "sm_80", 8),
        (Usage(33, 0, 0), 256, "sm_80", 6),
        (Usage(255, 0, 0), 128, "sm_90", 2),
        (Usage(32, 0, 0), 32, "sm_80", 32),
        (Usage(32, 0, 0), 32, "sm_86", 16),
        (Usage(32, 48 << 10, 0), 128, "sm_80", 3),
        (Usage(32, 48 << 10, 0), 128, "sm_90", 4),
        (Usage(32, 48 << 10, 0), 128, "sm_86", 2),
    ],
)
def test_what_is_in_flight(usage: Usage, threads: int, name: str, blocks: int) -> None:
    gpu = card(name).gpu
    assert gpu is not None
    assert blocks_in_flight(usage, threads, gpu) == blocks
    assert occupancy(usage, threads, gpu) == blocks * threads / gpu.threads
