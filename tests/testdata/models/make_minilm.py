"""Makes minilm.npz: what sentence-transformers makes of MINILM_TEXTS with all-MiniLM-L6-v2.

  pip install torch==2.13.0 transformers==5.23.0 sentence-transformers==6.2.0 ml_dtypes
  PYTHONSAFEPATH=1 PYTHONPATH=tests/models python tests/testdata/models/make_minilm.py CHECKPOINT_DIRECTORY

`hidden` is the pooled vector before the Normalize module, which is what an LM head reads.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
import transformers
from minilm_texts import MINILM_TEXTS

model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
rows, ids = [], []
with torch.no_grad():
    for text in MINILM_TEXTS:
        features = model.tokenize([text])
        ids.append(features["input_ids"][0].tolist())
        rows.append(model[1](model[0](features))["sentence_embedding"][0].numpy())
versions = {module.__name__: module.__version__ for module in (torch, transformers, sentence_transformers)}
np.savez_compressed(
    Path(__file__).parent / "minilm.npz",
    hidden=np.stack(rows),
    normalized=model.encode(MINILM_TEXTS, batch_size=8),
    meta=np.frombuffer(json.dumps({"ids": ids, "versions": versions}).encode(), np.uint8),
)
