"""Who runs? A new variant is one line here."""

from tests.benchmarks.race import own, rivals
from tests.benchmarks.race.contestant import Contestant
from tests.benchmarks.race.subjects import MINILM

BASELINE = "sentence-transformers, float32"
REFERENCE = "ours, float32"

CONTESTANTS = (
    Contestant(REFERENCE, "ours", own.embedding("float32")),
    Contestant("ours, bfloat16", "ours", own.embedding("bfloat16")),
    Contestant("ours, int16", "ours", own.embedding("int16")),
    Contestant("ours, file to store, float32", "whole", own.whole("float32")),
    Contestant("ours, file to store, bfloat16", "whole", own.whole("bfloat16")),
    Contestant("ours, file to store, int16", "whole", own.whole("int16")),
    Contestant(BASELINE, "rival", rivals.sentence_transformers("float32"), subject=MINILM),
    Contestant("sentence-transformers, bfloat16", "rival", rivals.sentence_transformers("bfloat16"), subject=MINILM),
    Contestant(
        "sentence-transformers, float32, logits, topk",
        "rival",
        rivals.sentence_transformers("float32", top=10),
        subject=MINILM,
    ),
    Contestant("torch, float32, sorted batches", "rival", rivals.plain_torch("float32")),
    Contestant("torch, bfloat16, sorted batches", "rival", rivals.plain_torch("bfloat16")),
    Contestant("onnxruntime, float32, sorted batches", "rival", rivals.onnxruntime(), subject=MINILM),
    Contestant(
        "onnxruntime, int8, sorted batches", "rival", rivals.onnxruntime(int8=True), subject=MINILM, exact=False
    ),
    Contestant("matmuls alone, float32", "floor", own.matmuls("float32")),
    Contestant("matmuls alone, bfloat16", "floor", own.matmuls("bfloat16")),
)
