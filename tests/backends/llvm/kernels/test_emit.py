"""Kernels as machine code compute what the interpreter says: loops, masks, registers, calls."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.backends.llvm.machine.threads import MOST_THREADS
from mlir_lite.errors import UnsupportedError, VerifyError
from mlir_lite.types import DType, bf16, f16, i8, i16, i32, u8

from .kernels import TARGETS, agree, compiled, normal, run

TAIL = """
kernel @tail(%x: f32[37], %y: out f32[37]) {
  parallel i.o in 0..3 {
    vector i.i in 0..16 {
      if i.o * 16 + i.i < 37 {
        y[i.o * 16 + i.i] = max(x[i.o * 16 + i.i], 0.0)
      }
    }
  }
}"""


def test_a_mask_keeps_the_tail_in_bounds() -> None:
    agree(TAIL, {"x": normal(37)})


def test_lanes_beyond_the_tail_are_not_written() -> None:
    memory = np.full(48, 5.0, np.float32)
    compiled(TAIL)(normal(37), memory[:37])
    assert (memory[37:] == 5.0).all()


def test_each_lane_reads_where_its_own_name_says() -> None:
    """A name bound in a vector loop is another index in each lane, also under a clamp."""
    text = """
    kernel @gather(%x: f32[7], %at: i32[16], %y: out f32[16]) {
      vector i in 0..16 {
        let picked = i64(at[i])
        let inside = select(picked < 0, 0, select(picked < 7, picked, 6))
        y[i] = x[inside]
      }
    }"""
    at = np.arange(16, dtype=np.int32) * 3 % 11 - 2
    agree(text, {"x": normal(7), "at": at})


@pytest.mark.parametrize("dtype", [u8, i8, i16, f16, bf16, i32], ids=str)
@pytest.mark.parametrize("lane", [0, 5])
def test_a_single_lane_is_stored_as_narrow_as_it_is(dtype: DType, lane: int) -> None:
    """LLVM 22 stores the lane of a truncated vector as wide as it was: over what comes next."""
    text = f"""
    kernel @narrow(%x: i64[16], %y: out {dtype}[16]) {{
      vector i in 0..16 {{
        if i >= {lane} and i < {lane + 1} {{
          y[i] = {dtype}(x[i])
        }}
      }}
    }}"""
    for where in TARGETS:
        memory = np.full(16, 5).astype(dtype.numpy)
        compiled(text, where)(np.full(16, 3), memory)
        assert memory[lane] == 3 and (np.delete(memory, lane) == 5).all()


@pytest.mark.parametrize("condition", ["0 < i - j", "i <= j + 2", "j - i >= 3", "4 - i > j"])
def test_lane_masks_of_every_comparison(condition: str) -> None:
    text = f"""
    kernel @mask(%x: f32[8, 16], %y: out f32[8, 16]) {{
      for j in 0..8 {{
        vector i in 0..16 {{
          if {condition} {{
            y[j, i] = x[j, i]
          }} else {{
            y[j, i] = 0.0 - x[j, i]
          }}
        }}
      }}
    }}"""
    agree(text, {"x": normal(8, 16)})


def test_a_select_loads_only_in_the_arm_it_takes() -> None:
    text = """
    kernel @pad(%x: f32[5], %y: out f32[24]) {
      for j in 0..3 {
        vector i in 0..8 {
          y[j * 8 + i] = select(j * 8 + i >= 2 and j * 8 + i < 7, x[j * 8 + i - 2], 0.0)
        }
      }
    }"""
    agree(text, {"x": normal(5)})


def test_a_uniform_select_loads_only_in_the_arm_it_takes() -> None:
    text = """
    kernel @rows(%x: f32[3, 8], %y: out f32[5, 8]) {
      for j in 0..5 {
        vector i in 0..8 {
          y[j, i] = select(j >= 1 and j < 4, x[j - 1, i], 0.5)
        }
      }
    }"""
    agree(text, {"x": normal(3, 8)})


def test_a_load_in_range_only_by_a_scalar_condition() -> None:
    text = """
    kernel @short(%x: f32[2], %y: out f32[100]) {
      for i in 0..100 {
        y[i] = select(i >= 98, x[i - 98], 1.0)
      }
    }"""
    agree(text, {"x": normal(2)})


@pytest.mark.parametrize("index", ["i * 3", "i floordiv 2", "15 - i", "i * 5 mod 16"])
def test_lanes_that_do_not_lie_side_by_side(index: str) -> None:
    text = f"""
    kernel @gather(%x: f32[48], %y: out f32[16]) {{
      vector i in 0..16 {{
        y[i] = x[{index}] + 1.0
      }}
    }}"""
    agree(text, {"x": normal(48)})


def test_a_table_of_indices() -> None:
    text = """
    kernel @lookup(%t: i32[16], %x: f32[9], %y: out f32[16]) {
      vector i in 0..16 {
        y[i] = x[i64(t[i])]
      }
    }"""
    agree(text, {"t": np.arange(16, dtype=np.int32) * 5 % 9, "x": normal(9)})


def test_strided_stores_under_a_mask() -> None:
    text = """
    kernel @scatter(%x: f32[16], %y: out f32[48]) {
      for i in 0..48 {
        y[i] = 0.0
      }
      vector i.1 in 0..16 {
        if i.1 < 11 {
          y[i.1 * 3] = x[i.1]
        }
      }
    }"""
    agree(text, {"x": normal(16)})


@pytest.mark.parametrize(("dtype", "apart"), [("u8", 2), ("u8", 4), ("u8", 3), ("i16", 2)])
def test_what_lies_between_the_lanes_of_a_store_stays(dtype: str, apart: int) -> None:
    size = 15 * apart + 1
    text = f"""
    kernel @apart(%x: {dtype}[16], %y: out {dtype}[{size}]) {{
      vector i in 0..16 {{
        y[i * {apart}] = x[i]
      }}
    }}"""
    x = np.arange(100, 116).astype({"u8": np.uint8, "i16": np.int16}[dtype])
    memory = np.full(size + 8, 7, x.dtype)
    compiled(text)(x, memory[:size])
    want = np.full(size + 8, 7, x.dtype)
    want[:size:apart] = x
    np.testing.assert_array_equal(memory, want)


def test_lanes_that_meet_in_one_element_all_count() -> None:
    text = """
    kernel @histogram(%t: i64[16], %y: out i32[4]) {
      for i in 0..4 {
        y[i] = 0
      }
      vector l in 0..16 {
        y[t[l]] += 1
      }
    }"""
    agree(text, {"t": np.arange(16) * 7 % 4})


@pytest.mark.parametrize("combiner", ["+=", "*=", "max=", "min="])
@pytest.mark.parametrize("lanes", [4, 7, 16])
def test_all_lanes_are_reduced_into_one_target(combiner: str, lanes: int) -> None:
    text = f"""
    kernel @reduce(%x: f32[3, {lanes}], %y: out f32[3]) {{
      for j in 0..3 {{
        y[j] = 1.0
        vector l in 0..{lanes} {{
          if l != j {{
            y[j] {combiner} x[j, l]
          }}
        }}
      }}
    }}"""
    agree(text, {"x": normal(3, lanes)}, tolerance=1e-6)


def test_the_largest_takes_its_index_along() -> None:
    text = """
    kernel @argmax(%x: f32[4, 16], %y: out f32[4], %at: out i64[4]) {
      for j in 0..4 {
        y[j] = -inf
        at[j] = 9223372036854775807
        vector l in 0..16 {
          y[j], at[j] argmax= x[j, l], l
        }
      }
    }"""
    x = np.round(normal(4, 16))
    x[2, 5] = x[2, 9] = np.nan
    agree(text, {"x": x})


def test_registers_pass_through_loops_and_branches() -> None:
    text = """
    kernel @running(%x: f32[9, 20], %y: out f32[9]) {
      buffer acc: register f32[2]
      for i in 0..9 {
        acc[0] = 0.0
        acc[1] = 1.0
        for k in 0..20 {
          if x[i, k] > 0.0 {
            acc[0] += x[i, k]
          } else {
            acc[1] max= x[i, k] * x[i, k]
          }
        }
        for e in 3..i {
          acc[0] += 1.0
        }
        y[i] = acc[0] + acc[1]
      }
    }"""
    agree(text, {"x": normal(9, 20)}, tolerance=1e-6)


def test_register_vectors_give_single_lanes() -> None:
    text = """
    kernel @transposed(%x: f32[8, 16], %y: out f32[16, 8]) {
      buffer t: register f32[8, 16]
      unroll i in 0..8 {
        vector l in 0..16 {
          t[i, l] = x[i, l]
        }
      }
      unroll j in 0..16 {
        vector l.1 in 0..8 {
          y[j, l.1] = t[l.1, j]
        }
      }
    }"""
    agree(text, {"x": normal(8, 16)})


def test_a_loaded_value_is_read_again_after_a_store() -> None:
    text = """
    kernel @swap(%x: f32[2], %y: out f32[3]) {
      y[0] = x[0]
      y[1] = y[0] + x[1]
      y[0] = 7.0
      y[2] = y[0] + y[1]
      for i in 0..4 {
        y[2] = y[2] + y[0]
        y[0] = y[0] * 2.0
      }
    }"""
    agree(text, {"x": normal(2)})


def test_a_loop_reads_again_what_it_stores() -> None:
    text = """
    kernel @doubling(%x: f32[1], %y: out f32[1], %z: out f32[5]) {
      y[0] = x[0]
      z[4] = y[0]
      for i in 0..4 {
        z[i] = y[0]
        y[0] = y[0] * 2.0
      }
    }"""
    agree(text, {"x": normal(1)})


def test_register_vectors_of_two_widths() -> None:
    text = """
    kernel @halves(%x: f32[16], %y: out f32[16]) {
      buffer t: register f32[16]
      vector l in 0..16 {
        t[l] = x[l]
      }
      unroll h in 0..2 {
        vector l.1 in 0..8 {
          t[h * 8 + l.1] = t[h * 8 + l.1] + t[8 - h * 8 + l.1]
        }
      }
      vector l.2 in 0..16 {
        y[l.2] = t[l.2]
      }
    }"""
    agree(text, {"x": normal(16)})


def test_an_output_in_an_input_place_is_read_anew() -> None:
    text = """
    kernel @shift(%x: f32[8], %y: out f32[8]) {
      y[0] = x[0] * 2.0
      y[1] = x[0] + x[1]
    }"""
    memory = np.arange(8, dtype=np.float32) + 1
    compiled(text, aliased=frozenset({"x", "y"}))(memory, memory)
    assert memory[:2].tolist() == [2.0, 4.0]


LARGE = """
kernel @staged(%x: f32[8, 6000], %y: out f32[8, 6000]) {
  buffer all: shared f32[8]
  buffer part: shared f32[3, 6000]
  for i in 0..8 {
    all[i] = x[i, 0]
  }
  parallel j in 0..8 {
    for k in 0..6000 {
      part[2, k] = x[j, k] + all[7 - j]
    }
    for k.1 in 0..6000 {
      y[j, k.1] = part[2, 5999 - k.1]
    }
  }
}"""


def test_locals_beyond_the_stack_and_between_stages() -> None:
    kernel = compiled(LARGE)
    assert kernel.text.thread_bytes >= 72_000 > kernel.text.common_bytes > 0
    assert [stage.extent for stage in kernel.text.stages] == [1, 8]
    x = normal(8, 6000)
    expected = (x + x[::-1, :1])[:, ::-1]
    np.testing.assert_array_equal(run(LARGE, {"x": x}, pieces=3)["y"], expected)


@pytest.mark.parametrize("others", [1, 63, 64, 129, MOST_THREADS - 1])
def test_every_thread_has_scratch_memory_of_its_own(others: int) -> None:
    x, y = normal(8, 6000), np.zeros((8, 6000), np.float32)
    compiled(LARGE)(x, y, others=others)
    np.testing.assert_array_equal(y, (x + x[::-1, :1])[:, ::-1])


def test_a_proc_works_on_windows() -> None:
    text = """
    kernel @blocks(%x: f32[8, 32], %y: out f32[8, 32]) {
      proc @tile(%from: f32[4, 16], %to: f32[4, 16]; row) {
        buffer t: register f32[4, 16]
        unroll i in 0..4 {
          vector l in 0..16 {
            t[i, l] = from[i, l] * f32(row + i)
          }
        }
        unroll i.1 in 0..4 {
          vector l.1 in 0..16 {
            to[i.1, l.1] = t[3 - i.1, l.1]
          }
        }
      }
      for i in 0..2 {
        for j in 0..2 {
          call @tile(x[i * 4, j * 16], y[i * 4, j * 16]; i * 4)
        }
      }
    }"""
    agree(text, {"x": normal(8, 32)})


def test_a_layout_moves_the_elements() -> None:
    text = """
    kernel @panels(%x: f32[6, 32], \
%y: out f32[6, 32] layout(p, q) -> [q floordiv 16, p, q mod 16] of [2, 6, 16]) {
      for i in 0..6 {
        for j in 0..2 {
          vector l in 0..16 {
            y[i, j * 16 + l] = x[i, j * 16 + l]
          }
        }
      }
    }"""
    agree(text, {"x": normal(6, 32)})


def test_a_local_of_one_iteration_is_a_local_of_each_lane() -> None:
    text = """
    kernel @running(%x: f32[16, 5], %y: out f32[16, 5]) {
      buffer total: register f32[]
      buffer row: shared f32[5]
      vector l in 0..16 {
        total[] = 0.0
        for k in 0..5 {
          total[] += x[l, k]
          row[k] = total[]
        }
        for k.1 in 0..5 {
          y[l, k.1] = row[k.1] * total[]
        }
      }
    }"""
    agree(text, {"x": normal(16, 5)}, tolerance=1e-6)


def test_a_vector_loop_in_another_is_refused() -> None:
    text = """
    kernel @f(%y: out f32[4, 4]) {
      vector i in 0..4 {
        vector j in 0..4 {
          y[i, j] = 0.0
        }
      }
    }"""
    with pytest.raises(VerifyError, match="the vector loop 'j' is inside 'i'"):
        compiled(text)


def test_lanes_that_disagree_about_one_element_are_refused() -> None:
    text = """
    kernel @f(%x: f32[4], %y: out f32[1]) {
      vector i in 0..4 {
        y[0] = x[i]
      }
    }"""
    with pytest.raises(UnsupportedError, match="different values are stored to one element of 'y'"):
        compiled(text)


def test_a_register_index_that_is_not_constant_is_refused() -> None:
    text = """
    kernel @f(%y: out f32[4]) {
      buffer t: register f32[4]
      for i in 0..4 {
        y[i] = t[i]
      }
    }"""
    with pytest.raises(UnsupportedError, match="register buffer 't' is not constant"):
        compiled(text)
