"""What distinguishes one text backbone from another: a `Spec`, read from a checkpoint's configuration, no weights."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """What one layer's attention sees.

    Attributes:
      behind: how many tokens before its own a token sees; None for all of them.
      ahead: how many tokens after its own a token sees; None for all, 0 for causal attention.
      rope: which of the Spec's rotary tables it uses; None for none.
    """

    behind: int | None = None
    ahead: int | None = None
    rope: int | None = None


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """How hidden states become logits: scale * (transform(h) @ weight.T + bias), then the soft-cap.

    Transform and bias are what the architecture has; a checkpoint that was saved without its head lacks them.


    Attributes:
      tied: the weight is the input embedding.
      scale: multiplies the products (T5 1.0 divides by the square root of the width).
      softcap: c of c * tanh(logits / c) (Gemma 2); None for none.
      transform: a dense layer, activation and norm stand before the vocabulary (BERT, MPNet).
      bias: a bias per vocabulary entry.
    """

    tied: bool = True
    scale: float = 1.0
    softcap: float | None = None
    transform: bool = False
    bias: bool = False


@dataclasses.dataclass(frozen=True)
class Spec:
    """One transformer. Sizes count numbers, not bytes.

    Attributes:
      vocab: rows of the input embedding.
      width: of the residual stream, the D of everything else.
      heads: query heads.
      kv_heads: key and value heads; each serves heads / kv_heads query heads.
      head_dim: of one head.
      mlp_width: of the feed-forward layer's inside.
      layers: one LayerSpec per block.
      activation: a key of `ops.ACTIVATIONS`.
      gated: the feed-forward layer multiplies activation(gate) by up.
      norm: "rms", or "layer" (which also centres and has a bias).
      norm_eps: added to the variance.
      norm_offset: added to norm weights (Gemma stores w where it multiplies by 1 + w).
      order: "pre" norms a sub-layer's input, "post" the sum after it, "sandwich" input and output.
      biased: which of q k v o gate up down have a bias.
      qk_norm: queries and keys are normed per head (Qwen3, Gemma 3).
      score_scale: multiplies query-key products.
      score_softcap: c of c * tanh(scores / c); None for none.
      ropes: distinct rotary tables, each the head_dim / 2 angles in radians per position.
      positions: rows of a learned position table; 0 for none.
      first_position: its row for a text's first token.
      buckets: rows of a relative position bias; 0 for none.
      bucket_reach: distance in tokens from which all share the last bucket.
      types: rows of a token type table, of which the first is added; 0 for none.
      embed_width: of the input embedding, where a projection follows it (OPT-350m); else the width.
      embed_scale: multiplies input embeddings.
      embed_norm: a norm follows the embeddings.
      final_norm: a norm follows the last block.
      head: how hidden states become logits.
      decoder_layers: blocks of a decoder that reads the encoder (T5); 0 for none.
      start_id: the token that a decoder begins with.
    """

    vocab: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    layers: tuple[LayerSpec, ...]
    activation: str
    gated: bool
    norm: str
    norm_eps: float
    score_scale: float
    head: HeadSpec
    norm_offset: float = 0.0
    order: str = "pre"
    biased: frozenset[str] = frozenset()
    qk_norm: bool = False
    score_softcap: float | None = None
    ropes: tuple[tuple[float, ...], ...] = ()
    positions: int = 0
    first_position: int = 0
    buckets: int = 0
    bucket_reach: int = 128
    types: int = 0
    embed_width: int = 0
    embed_scale: float = 1.0
    embed_norm: bool = False
    final_norm: bool = True
    decoder_layers: int = 0
    start_id: int = 0

    def __post_init__(self):
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} query heads cannot share {self.kv_heads} key heads evenly.")
        if not self.embed_width:
            object.__setattr__(self, "embed_width", self.width)
