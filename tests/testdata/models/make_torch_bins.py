"""Makes torch_zip.bin, torch_legacy.bin and torch_bins.npz: files of torch.save, and what is in them.

pip install torch==2.13.0 && python tests/testdata/models/make_torch_bins.py
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
rng = np.random.default_rng(0)
base = torch.tensor(rng.standard_normal((6, 4)), dtype=torch.float32)
state = OrderedDict(
    plain=base,
    transposed_view=base.T[1:3],
    bfloat16=base.to(torch.bfloat16),
    bfloat16_view=base.to(torch.bfloat16).T[:, ::2],
    float16=base.half(),
    float64=base.double(),
    scalar=torch.tensor(3, dtype=torch.int64),
    mask=base > 0,
    empty=torch.zeros(0, 4),
    parameter=torch.nn.Parameter(base * 2),
)
state._metadata = OrderedDict([("", {"version": 1})])
torch.save(state, HERE / "torch_zip.bin")
torch.save(state, HERE / "torch_legacy.bin", _use_new_zipfile_serialization=False)
np.savez_compressed(
    HERE / "torch_bins.npz",
    **{name: value.detach().to(torch.float64).numpy() for name, value in state.items()},
)
