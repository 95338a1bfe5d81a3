"""All samples. A new family of operations adds its list here."""

from __future__ import annotations

from .sample import Sample
from .samples_attention import ATTENTION
from .samples_checkpoint import CHECKPOINTS
from .samples_control import CONTROL
from .samples_dots import DOTS
from .samples_elementwise import ELEMENTWISE
from .samples_grid import GRIDS
from .samples_index import INDEX
from .samples_linalg import LINALG
from .samples_losses import LOSSES
from .samples_nn import NN
from .samples_random import RANDOM
from .samples_reduce import REDUCE
from .samples_shape import SHAPE
from .samples_sort import SORT
from .samples_strassen import STRASSEN
from .samples_window_gradients import WINDOW_GRADIENTS
from .samples_windows import WINDOWS
from .samples_winograd import WINOGRAD

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
    *CONTROL,
)
