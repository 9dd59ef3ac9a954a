"""What people use today: sentence-transformers, plain PyTorch, onnxruntime, each as fast as it is known to go.

Embedding includes tokenising, as it does in ours. Nothing here imports ours.
"""

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.race.batches import computed_tokens, sorted_batches
from tests.benchmarks.race.contestant import Outcome, Run, package
from tests.benchmarks.race.subjects import Subject
from tests.benchmarks.race.workloads import Workload

# Of 512, 1,024, 2,048, 4,096 and 8,192 tokens a batch the best for PyTorch in both precisions and within 5 % of it for
# onnxruntime, measured with MiniLM on sentences and on abstracts.
BATCH_TOKENS = 1024


def sentence_transformers(dtype: str, *, top: int = 0) -> Callable[[Subject], Run]:
    """`SentenceTransformer.encode` with its defaults: batches of 32, sorted by length.

    Args:
      dtype: "float32" or "bfloat16".
      top: if positive, also multiplies by the word embeddings and takes the `top` best tokens.
    """

    def build(subject: Subject) -> Run:
        torch = _torch()
        model = package("sentence_transformers").SentenceTransformer(
            subject.directory, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)}
        )
        model.max_seq_length = subject.max_length
        words = model[0].auto_model.get_input_embeddings().weight

        def run(workload: Workload) -> Outcome:
            if not top:
                return Outcome(model.encode(list(workload.texts), show_progress_bar=False))
            with torch.inference_mode():
                vectors = model.encode(list(workload.texts), show_progress_bar=False, convert_to_tensor=True)
                best = torch.topk(vectors @ words.T, top).indices
            return Outcome(vectors.numpy(), best.numpy)

        return run

    return build


def plain_torch(dtype: str) -> Callable[[Subject], Run]:
    """transformers' model with the best attention that it has there (sdpa for BERT), batches sorted by length."""

    def build(subject: Subject) -> Run:
        torch, transformers = _torch(), package("transformers")
        model = transformers.AutoModel.from_pretrained(subject.directory, dtype=getattr(torch, dtype)).eval()

        def embed(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                counted = torch.from_numpy(mask)
                states = model(input_ids=torch.from_numpy(ids), attention_mask=counted).last_hidden_state.float()
                return ((states * counted[..., None]).sum(1) / counted.sum(1, keepdim=True)).numpy()

        return _in_sorted_batches(subject, embed)

    return build


def onnxruntime(*, int8: bool = False) -> Callable[[Subject], Run]:
    """The model and its pooling as an ONNX graph, all optimisations on; int8: weights quantised, activations as met."""

    def build(subject: Subject) -> Run:
        runtime = package("onnxruntime")
        path = _exported(subject, int8=int8)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def embed(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
            return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

        return _in_sorted_batches(subject, embed)

    return build


def _exported(subject: Subject, *, int8: bool) -> pathlib.Path:
    """The ONNX file, made unless it is there already."""
    path = pathlib.Path(subject.scratch) / "exported.onnx"
    if not path.exists():
        _export(subject, path)
    if not int8:
        return path
    small = path.with_name("int8.onnx")
    if not small.exists():
        quantization = package("onnxruntime.quantization")
        quantization.quantize_dynamic(str(path), str(small), weight_type=quantization.QuantType.QInt8)
    return small


def _export(subject: Subject, path: pathlib.Path) -> None:
    torch, transformers = _torch(), package("transformers")
    package("onnxscript")
    # Eager attention: its graph is smaller and ran 0 to 25 % faster than that of sdpa.
    body = transformers.AutoModel.from_pretrained(subject.directory, attn_implementation="eager").eval()

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body

        def forward(self, input_ids, attention_mask):
            states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            counted = attention_mask[..., None].to(states.dtype)
            return (states * counted).sum(1) / counted.sum(1)

    ids, mask = torch.ones((2, 2, 8), dtype=torch.int64)  # one array for both would be exported as one input
    sizes = {0: torch.export.Dim("batch", max=4096), 1: torch.export.Dim("length", min=2, max=subject.max_length)}
    torch.onnx.export(
        Pooled().eval(),
        (ids, mask),
        str(path),
        dynamo=True,
        verbose=False,
        input_names=["input_ids", "attention_mask"],
        output_names=["pooled"],
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    )


def _in_sorted_batches(subject: Subject, embed: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Run:
    """Tokenises, computes `embed` of ids and mask, int64 [B, T], batch by batch, and puts the texts in order again."""
    tokenizer = package("transformers").AutoTokenizer.from_pretrained(subject.directory)

    def run(workload: Workload) -> Outcome:
        ids = tokenizer(
            list(workload.texts), truncation=True, max_length=subject.max_length, return_attention_mask=False
        )["input_ids"]
        lengths = list(map(len, ids))
        batches = sorted_batches(lengths, BATCH_TOKENS)
        parts = [embed(*arrays) for arrays in _padded(ids, batches)]
        vectors = np.empty((len(ids), parts[0].shape[1]), np.float32)
        vectors[np.concatenate(batches)] = np.concatenate(parts)
        return Outcome(vectors, computed_tokens=computed_tokens(lengths, batches))

    return run


def _padded(ids: Sequence[Sequence[int]], batches: Sequence[Sequence[int]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for batch in batches:
        shape = (len(batch), max(len(ids[position]) for position in batch))
        padded, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, position in enumerate(batch):
            padded[row, : len(ids[position])] = ids[position]
            mask[row, : len(ids[position])] = 1
        yield padded, mask


def _torch() -> Any:
    torch = package("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    return torch
