"""inline-checkpoints: regions in their places, in the order in which they were computed again."""

from __future__ import annotations

from mlir_lite.passes.inline_checkpoints import inline_checkpoints

from .expect import expect


def test_regions_stand_in_their_places() -> None:
    expect(
        inline_checkpoints,
        before="""
            func @f(%x: tensor<3xf32>, %dy: tensor<3xf32>) -> tensor<3xf32> {
              %0 = checkpoint [%x] @outer(%x0: tensor<3xf32>) {
                %0 = checkpoint [%x0] @inner(%x0: tensor<3xf32>) {
                  %0 = exp %x0 : tensor<3xf32>
                  return %0
                } : tensor<3xf32>
                %1 = sin %0 : tensor<3xf32>
                return %1
              } : tensor<3xf32>
              %1 = barrier %x, %dy : tensor<3xf32>
              %2 = exp %1 : tensor<3xf32>
              %3 = add %0, %2 : tensor<3xf32>
              return %3
            }""",
        after="""
            func @f(%x: tensor<3xf32>, %dy: tensor<3xf32>) -> tensor<3xf32> {
              %0 = exp %x : tensor<3xf32>
              %1 = sin %0 : tensor<3xf32>
              %2 = barrier %x, %dy : tensor<3xf32>
              %3 = exp %2 : tensor<3xf32>
              %4 = add %1, %3 : tensor<3xf32>
              return %4
            }""",
    )
