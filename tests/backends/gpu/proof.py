"""What is proved of every kernel template without a card, as one table; from `tests/backends`:

  python -m gpu.proof [--only REGEX] [--cards sm_80,sm_90,sm_100] [--mutations] [--output FILE]

Of a template's small form, which has the same kernels as the usual one or, where it cannot, others:
the errors of the schedules in the interpreter, and of the text on the CPU in several orders of
threads, against float64; what the checker sees. Of the usual form: what NVIDIA's compiler makes of
it, with warnings and spilled registers as errors; of a turn of the main loop how many instructions
are products (of attention beside the most that its arithmetic allows), how many cycles a warp keeps
each unit of the card busy, and so what share of them those of matrices may be; and the least time
that a card of published figures could take. With `--mutations` also how many barriers and waits are
missed where they are left out, of all kernels that are tried so.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.cli.card_ceilings import factors_of
from mlir_lite.cli.counting import StepWork, step_works
from mlir_lite.errors import MlirLiteError
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from .card_jobs import against_float64, inputs_for
from .compiled import Compiled, all_orders, card, planned
from .figures import ARCHITECTURES, Figures, Rows, rows_of
from .templates import FACTORS, TEMPLATES, Template
from .test_mutations import ALL as SUBJECTS
from .test_mutations import missed
from .turns import matrix_share, most_products

# FLOP/s of dense products on tensor cores, from NVIDIA's data sheets of A100, H100 SXM and B200.
TENSOR_PEAKS: Mapping[str, Mapping[str, float]] = {
    "sm_80": {"tf32": 156e12, "bf16": 312e12, "f16": 312e12},
    "sm_90": {"tf32": 495e12, "bf16": 989e12, "f16": 989e12},
    "sm_100": {"tf32": 1125e12, "bf16": 2250e12, "f16": 2250e12},
}
TILED = re.compile("matmul|conv_kernel|attention")
MULTIPLIES = ("HGMMA", "HMMA", "FFMA2", "FFMA")

HEAD = (
    "template", "card", "kernel", "small", "interpreter", "text", "checker", "sectors", "banks",
    "registers", "spilled", "shared", "occupancy", "products in the loop", "matrices busy",
    "cycles of a turn", "limit, µs", "by",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What was seen of a small form: verdicts with errors against float64, and how many sectors of
    memory and passes through banks there were, to the least."""

    interpreter: str
    text: str
    checker: str
    sectors: float
    passes: float

    @property
    def cells(self) -> Sequence[str]:
        ratios = (f"{ratio:.2f}" if ratio else "" for ratio in (self.sectors, self.passes))
        return self.interpreter, self.text, self.checker, *ratios


def target_of(template: Template, model: str, *, small: bool = False) -> Target:
    """The card that a form is made for."""
    factors = FACTORS.get(template.name, "f32")
    return card(
        model, factors=factors, multiprocessors=template.multiprocessors if small else 132
    )


def text_of(template: Template, model: str) -> str:
    """What runs of a small form."""
    target = target_of(template, model, small=True)
    return CudaSource.of(planned(template.small, target)[0], target).kernel_texts


def verdict(job: Callable[[], str]) -> str:
    """What a job says; in bold what it fails with."""
    try:
        return job()
    except (AssertionError, MlirLiteError) as error:
        return f"**{' '.join(str(error).split())[:60]}**"


def run(template: Template, model: str) -> Run:
    """Run the small form of a template."""
    target, fn = target_of(template, model, small=True), template.small
    factors, arrays = FACTORS.get(template.name, "f32"), inputs_for(fn)
    program, constants = planned(fn, target)

    def held(found: Sequence[Array]) -> str:
        checked = against_float64(fn, program, arrays, found, factors)
        assert checked.is_right, f"{checked.error:.1e}, allowed are {checked.allowed:.1e}"
        return f"{checked.error:.0e}"

    def interpreted() -> str:
        for kernel in program.kernels:
            verify_kernel(kernel)
        return held(run_program(program, arrays, constants))

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        plain = Compiled.of(fn, Path(one), target=target)
        text = verdict(lambda: held(all_orders(plain, arrays)))
        watched = Compiled.of(fn, Path(other), target=target, watched=True)

        def watch() -> str:
            for order in ("ascending", "shuffled"):
                watched(*arrays, order=order)
            return "nothing"

        seen, counts = verdict(watch), watched.device.counts()
    return Run(
        verdict(interpreted), text, seen,
        counts.sectors / max(1, counts.least_sectors), counts.passes / max(1, counts.least_passes),
    )  # fmt: skip


def kernels_of(template: Template, model: str, *, small: bool) -> list[tuple[object, ...]]:
    """The kernels of a form, as far as they must be the same in both: those that compute element by
    element may have fewer threads."""
    target = target_of(template, model, small=small)
    fn = template.small if small else template.usual
    kernels = CudaSource.of(planned(fn, target)[0], target).kernels.values()
    return [
        (kernel.name, kernel.shared_bytes, kernel.block if TILED.search(kernel.name) else None)
        for kernel in kernels
    ]


@dataclass(frozen=True)
class Limit:
    """The least seconds that a launch of a kernel takes on a card, and what says so."""

    seconds: float
    by: str

    @staticmethod
    def of(work: StepWork, factors: str, target: Target) -> Limit:
        peaks = {"f32": target.peak_flops, "f64": target.peak_flops / 2}
        peak = {**peaks, **TENSOR_PEAKS[target.name.partition(":")[2]]}[factors]
        data, arithmetic = work.bytes / target.memory_bandwidth, work.operations / peak
        return Limit(max(data, arithmetic), "memory" if data >= arithmetic else factors)


def limits_of(template: Template, model: str) -> Mapping[str, Limit]:
    """Those of a usual form's kernels, by their names in the source."""
    target = target_of(template, model)
    program = planned(template.usual, target)[0]
    kernels = CudaSource.of(program, target).kernels
    found: dict[str, Limit] = {}
    for call, work in zip(program.calls, step_works(program), strict=True):
        factors = factors_of(program.kernel(call.kernel))
        once = StepWork(
            work.operations // work.turns, work.bytes_read // work.turns,
            work.bytes_written // work.turns, 0,
        )  # fmt: skip
        found.setdefault(kernels[call.kernel].name, Limit.of(once, factors, target))
    return found


def static_cells(figures: Figures, limit: Limit, most: float | None) -> Sequence[str]:
    """Of the usual form; products are so many of the instructions at `most`."""
    name = next((name for name in MULTIPLIES if name in figures.instructions), "")
    # Those of warpgroups take as long as many others.
    share = "" if name in ("", "HGMMA") else f", {figures.usual_share(name):.0%}"
    if name == "HMMA" and most is not None:
        share += f" of at most {most:.0%}"
    busy = figures.cycles if "matrix" in figures.cycles else {}
    return (
        str(figures.registers), str(figures.spilled_bytes), str(figures.shared_bytes),
        f"{figures.occupancy:.0%}",
        f"{name} {figures.instructions[name]} of {figures.usual}{share}" if name else "",
        f"{matrix_share(busy):.0%}" if busy else "",
        ", ".join(f"{unit} {count:.0f}" for unit, count in busy.items()),
        f"{limit.seconds * 1e6:.1f}", limit.by,
    )  # fmt: skip


def most_of(template: Template, kernel: str) -> float | None:
    """The most that products can be of an attention's instructions."""
    if "blocked_attention" not in kernel:
        return None
    return most_products(kernel, template.usual.params[0].type.static_shape[-1])


def mutation_score() -> str:
    """How many barriers and waits somebody misses."""
    total = unnoticed = 0
    for subject in SUBJECTS:
        with tempfile.TemporaryDirectory() as folder:
            count, left = missed(subject, Path(folder))
        total, unnoticed = total + count, unnoticed + len(left)
        print(f"{subject.name}: {count - len(left)} of {count}", file=sys.stderr, flush=True)
    words = f"{total - unnoticed} of {total} barriers and waits are missed"
    return f"**{words}**" if unnoticed else words


def table(models: Sequence[str], templates: Sequence[Template]) -> Iterator[str]:
    """The lines of the table, as they are known."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{'---|' * len(HEAD)}"
    rows: Rows = {}
    for model in models:
        rows |= rows_of(model, [template.usual for template in templates])
    for template in templates:
        runs: dict[str, Run] = {}  # by what is run: cards may have the same
        for model in models:
            text = text_of(template, model)
            if text not in runs:
                runs[text] = run(template, model)
            ran, limits = runs[text], limits_of(template, model)
            forms = (kernels_of(template, model, small=small) for small in (True, False))
            same = "same" if len({*map(tuple, forms)}) == 1 else "others"
            for (name, architecture, kernel), figures in rows.items():
                if (name, architecture) == (template.name, ARCHITECTURES[model]):
                    static = static_cells(figures, limits[kernel], most_of(template, kernel))
                    cells = (same, *ran.cells, *static)
                    yield f"| {' | '.join((name, model, kernel, *cells))} |"


def main(argv: Sequence[str]) -> int:
    parser = ArgumentParser(prog="proof", description=__doc__)
    parser.add_argument("--only", default="", help="templates whose names have this in them")
    parser.add_argument("--cards", default=",".join(ARCHITECTURES))
    parser.add_argument("--mutations", action="store_true")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(argv)
    templates = [one for one in TEMPLATES.values() if re.search(args.only, one.name)]
    start, lines = time.monotonic(), []
    for line in table(args.cards.split(","), templates):
        lines.append(line)
        print(line, flush=True)
    if args.mutations:
        lines += ["", mutation_score()]
        print(lines[-1])
    if args.output:
        args.output.write_text("\n".join(lines) + "\n")
    print(f"templates: {len(templates)}, in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return int(any("**" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
