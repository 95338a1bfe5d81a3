"""The checks themselves hold: onnxruntime, an independent runner, passes every one."""

from .case import Answer, Case
from .catalogue import every_case


@every_case
def test_onnxruntime_passes_the_check(case: Case, reference: Answer) -> None:
    case.check(reference)
