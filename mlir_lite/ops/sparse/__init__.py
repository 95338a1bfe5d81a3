"""`ml.sparse`: sparse matrices in compressed rows (CSR).

    graph = ml.sparse.csr(scipy_matrix)         # of constants, or
    @ml.function(ml.sparse.csr_type(f32["n", "n"], "edges"), f32["n", 16])
    def step(a: ml.sparse.Csr, x: Value) -> Value:
        return ml.relu(a @ x)
    run(*ml.sparse.csr(scipy_matrix), x)
"""

from .matrix import Csr as Csr
from .matrix import CsrType as CsrType
from .matrix import csr as csr
from .matrix import csr_type as csr_type
from .matrix import sampled_matmul as sampled_matmul
