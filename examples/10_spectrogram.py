"""From sound to words: a spectrogram, mel filters, a classifier, all in one compiled function.

The short-time Fourier transform is a matrix product: windows of the sound times cosines and sines.
The words are made of tones that rise, fall, tremble or stay, each at its own pitch, in noise.

    python examples/10_spectrogram.py
"""

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32, nn, train
from mlir_lite.types import Array

RATE, LENGTH, WINDOW, HOP, MELS = 8000, 4096, 256, 128, 32
WORDS = ("rising", "falling", "trembling", "staying")


def fourier() -> Array:
    """`(window, 2 * bins)`: the cosines and the sines of each frequency, under Hann's window."""
    turns = np.outer(np.arange(WINDOW), np.arange(WINDOW // 2 + 1)) / WINDOW
    waves = np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], 1)
    return np.asarray(np.hanning(WINDOW)[:, None] * waves).astype(np.float32)


def mel_filters() -> Array:
    """`(bins, mels)`: triangles that stand evenly on the mel scale (O'Shaughnessy, 1987)."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), MELS + 2)
    low, peak, high = (700 * (10 ** (mel[k : k + MELS] / 2595) - 1) for k in range(3))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    sides = np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak))
    return np.maximum(sides, 0).astype(np.float32)


def power(sound: Value) -> Value:
    """`(batch, length)` to the power of each frequency in each window: `(batch, windows, bins)`."""
    starts = np.arange(0, LENGTH - WINDOW + 1, HOP)
    windows = ml.gather(sound, starts[:, None] + np.arange(WINDOW), axis=1)
    real, imaginary = ml.split(windows @ fourier(), 2, axis=-1)
    return ml.square(real) + ml.square(imaginary)


class Listener(nn.Module):
    """Sound to scores of the words, by two convolutions along time."""

    first: nn.Conv1d = nn.Conv1d(MELS, 32, 5, 2)
    second: nn.Conv1d = nn.Conv1d(32, 32, 5, 2)
    head: nn.Linear = nn.Linear(32, len(WORDS))

    def forward(self, sound: Value) -> Value:
        heard = ml.log(power(sound) @ mel_filters() + 1e-3).transpose(0, 2, 1)
        return self.head(ml.relu(self.second(ml.relu(self.first(heard)))).max(2))


def words(count: int, seed: int) -> tuple[Array, Array]:
    """Sounds `(count, length)`, and which word each is."""
    random, time = np.random.default_rng(seed), np.linspace(0, 1, LENGTH)
    labels = random.integers(0, len(WORDS), count)
    shapes = np.stack([time - 0.5, 0.5 - time, 0.3 * np.sin(40 * time), 0 * time])
    pitch = random.uniform(500, 2500, (count, 1)) * 2 ** shapes[labels]
    phase = 2 * np.pi * np.cumsum(pitch, 1) / RATE + random.uniform(0, 6, (count, 1))
    return (np.sin(phase) + random.normal(0, 0.5, phase.shape)).astype(np.float32), labels


def main() -> None:
    sound, labels = words(1024, seed=0)
    spectrum = np.asarray(ml.compile(ml.function(f32[4, LENGTH])(power))(sound[:4]))
    window = sound[:4, HOP : HOP + WINDOW] * np.hanning(WINDOW)
    alike = np.allclose(spectrum[:, 1], np.abs(np.fft.rfft(window)) ** 2, rtol=1e-3, atol=1e-3)
    print(f"the second window's spectrum as NumPy's FFT: {alike}")

    data, unheard = (sound, labels), words(256, seed=1)
    fitted = train.fit(Listener(), ml.cross_entropy, train.Adam(3e-3), data, epochs=16)
    right = train.Evaluator(Listener(), {"words": train.accuracy}, unheard)(fitted.weights)["words"]
    print(f"{right:.1%} of 256 words it never heard; 95 % or more: {right >= 0.95}")


if __name__ == "__main__":
    main()
