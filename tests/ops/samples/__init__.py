"""All samples. A new family of operations adds its list here."""

from __future__ import annotations

from ..sample import Sample
from .attention import ATTENTION
from .checkpoint import CHECKPOINTS
from .control import CONTROL
from .dots import DOTS
from .elementwise import ELEMENTWISE
from .grid import GRIDS
from .index import INDEX
from .linalg import LINALG
from .losses import LOSSES
from .nn import NN
from .random import RANDOM
from .reduce import REDUCE
from .shape import SHAPE
from .sort import SORT
from .sparse import SPARSE
from .strassen import STRASSEN
from .window_gradients import WINDOW_GRADIENTS
from .windows import WINDOWS
from .winograd import WINOGRAD

SAMPLES: tuple[Sample, ...] = (
    *ELEMENTWISE,
    *SHAPE,
    *INDEX,
    *GRIDS,
    *CHECKPOINTS,
    *RANDOM,
    *REDUCE,
    *SORT,
    *NN,
    *LOSSES,
    *ATTENTION,
    *DOTS,
    *WINDOWS,
    *WINDOW_GRADIENTS,
    *WINOGRAD,
    *STRASSEN,
    *LINALG,
    *SPARSE,
    *CONTROL,
)
