"""What is minimised. Letters: B texts, T tokens, D width, V vocabulary."""

import jax
import jax.numpy as jnp
import optax

_NOWHERE = -1e9  # a finite logit of share 0: infinities would make NaN gradients


def next_token_loss(hidden: jax.Array, head: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats of the next token; hidden [B, T, D], head [V, D], targets int32 [B, T]."""
    logits = jnp.einsum("btd,vd->btv", hidden, head, preferred_element_type=jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def unit(vectors: jax.Array) -> jax.Array:
    """Rows scaled to unit length, [B, D]."""
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def info_nce(left: jax.Array, right: jax.Array, *, temperature: float) -> jax.Array:
    """InfoNCE with in-batch negatives, from both sides (arXiv 1807.03748; SimCSE, arXiv 2104.08821).

    Args:
      left: unit vectors [B, D].
      right: unit vectors [B, D]; row i belongs to row i of `left`, all others are its negatives.
      temperature: divides the cosines.

    Returns:
      The mean of both cross-entropies, in nats.
    """
    scores = left @ right.T / temperature
    own = jnp.arange(len(left))
    loss = optax.softmax_cross_entropy_with_integer_labels
    return (loss(scores, own).mean() + loss(scores.T, own).mean()) / 2


def cosine_regression(vectors: jax.Array, teacher: jax.Array) -> jax.Array:
    """Mean squared difference of the cosines of all pairs of a batch from a teacher's; unit vectors [B, D] and [B, D'].

    Softmaxes of cosines do not mind a direction that all texts share, which is what a backbone has and an embedder has
    not; this does: unrelated texts are to be as far apart as the teacher has them.
    """
    difference = vectors @ vectors.T - teacher @ teacher.T
    return jnp.square(difference).mean()


def similarity_distillation(vectors: jax.Array, teacher: jax.Array, *, temperature: float) -> jax.Array:
    """How far the similarities within a batch are from a teacher's: KL divergence of their softmaxes, row by row.

    Relational distillation (arXiv 1904.05068, with distributions in place of distances): the student's vectors may lie
    anywhere, only who is near whom is taught. A text's similarity with itself says nothing and is left out.

    Args:
      vectors: the student's unit vectors [B, D].
      teacher: the teacher's unit vectors [B, D'].
      temperature: divides both cosines.

    Returns:
      Mean over texts, in nats.
    """
    itself = jnp.eye(len(vectors), dtype=bool)

    def log_shares(rows: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(jnp.where(itself, _NOWHERE, rows @ rows.T / temperature), axis=-1)

    wanted, given = log_shares(teacher), log_shares(vectors)
    return (jnp.exp(wanted) * (wanted - given)).sum(-1).mean()
