"""The loop of every training: batches over the local devices, checkpoints to resume from, a line of progress."""

import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp

from keytokens import models

Tree = Any
# (trainable, frozen, batch, key) -> loss.
Loss = Callable[[Tree, Tree, Mapping[str, jax.Array], jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained, on what, and for how long.

    Attributes:
      name: of the stage, for the progress line.
      loss: pure; sees the trainable parameters, the frozen ones, a batch and a random key.
      batch: step -> arrays [batch, ...], of two axes each; a function of the step alone.
      optimizer: of optax.
      steps: in all.
      directory: of the checkpoints; made if missing.
      seed: of the random keys.
      checkpoint_every: steps between checkpoints.
      observe_every: steps between calls of `observe`.
      observe: called with (steps done, trainable); also before the first and after the last step.
    """

    name: str
    loss: Loss
    batch: Callable[[int], Mapping[str, np.ndarray]]
    optimizer: optax.GradientTransformation
    steps: int
    directory: pathlib.Path
    seed: int
    checkpoint_every: int
    observe_every: int
    observe: Callable[[int, Tree], None] = lambda step, trainable: None


def train(training: Training, trainable: Tree, frozen: Tree, *, stream: IO[str] = sys.stderr) -> Tree:
    """The trained parameters; goes on from the newest checkpoint, to the same bits as without the interruption.

    Raises:
      ValueError: a batch that does not divide among the devices.
      FloatingPointError: the loss is not a number; nothing after the last checkpoint is kept.
    """
    mesh = models.make_mesh(data=len(jax.local_devices()), model=1)
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    split = models.batch_sharding(mesh)
    state = jax.device_put({"params": trainable, "optimizer": training.optimizer.init(trainable)}, everywhere)
    frozen = jax.device_put(frozen, everywhere)

    def step_fn(state: Tree, frozen: Tree, batch: Mapping[str, jax.Array], key: jax.Array) -> tuple[Tree, jax.Array]:
        loss, gradients = jax.value_and_grad(training.loss)(state["params"], frozen, batch, key)
        updates, optimizer = training.optimizer.update(gradients, state["optimizer"], state["params"])
        return {"params": optax.apply_updates(state["params"], updates), "optimizer": optimizer}, loss

    advance = jax.jit(step_fn, donate_argnums=0)
    with _checkpoints(training) as manager:
        done = manager.latest_step() or 0
        if done:
            state = manager.restore(done, args=ocp.args.StandardRestore(state))
        progress = Progress(training, done, stream)
        if not done:
            training.observe(0, state["params"])
        for step in range(done, training.steps):
            batch = training.batch(step)
            _check_division(batch, mesh.size)
            key = jax.random.fold_in(jax.random.key(training.seed), step)
            state, loss = advance(state, frozen, jax.device_put(dict(batch), split), key)
            progress.add(loss, batch)
            done = step + 1
            if done % training.observe_every == 0 or done == training.steps:
                progress.check()
                training.observe(done, state["params"])
            if done % training.checkpoint_every == 0 or done == training.steps:
                progress.check()
                manager.save(done, args=ocp.args.StandardSave(state))
    return state["params"]


def _checkpoints(training: Training) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True, enable_async_checkpointing=False)
    return ocp.CheckpointManager(training.directory.absolute(), options=options)


def _check_division(batch: Mapping[str, np.ndarray], devices: int) -> None:
    for name, array in batch.items():
        if len(array) % devices:
            raise ValueError(f"a batch of {len(array)} ({name}) cannot be split evenly over {devices} devices.")


class Progress:
    """Loss, rate and time left; a line every few seconds, so that the device is rarely waited for."""

    def __init__(self, training: Training, done: int, stream: IO[str]):
        self._training, self._stream = training, stream
        self._first = self._done = done
        self._rows = 0
        self._losses: list[jax.Array] = []
        self._start = self._shown = time.monotonic()
        self._interval_sec = 2.0 if stream.isatty() else 30.0
        if done:
            stream.write(f"{training.name}: resuming after step {done:,} of {training.steps:,}\n")

    def add(self, loss: jax.Array, batch: Mapping[str, np.ndarray]) -> None:
        """Counts a step; prints when it is time."""
        self._losses.append(loss)
        self._done += 1
        self._rows += len(next(iter(batch.values())))
        if time.monotonic() - self._shown > self._interval_sec or self._done == self._training.steps:
            self._print()

    def check(self) -> None:
        """Waits for the last step, and refuses to go on from a loss that is no number."""
        if self._losses and not np.isfinite(loss := float(self._losses[-1])):
            raise FloatingPointError(
                f"{self._training.name}: the loss is {loss} after step {self._done:,}. Lower the learning rates; the "
                "next run would go on from the last checkpoint, so give it a new --output_dir."
            )

    def _print(self) -> None:
        loss = float(np.mean([float(loss) for loss in self._losses[-50:]]))
        self._losses = self._losses[-50:]
        self._shown = time.monotonic()
        seconds = max(self._shown - self._start, 1e-9)
        left = (self._training.steps - self._done) * seconds / (self._done - self._first)
        self._stream.write(
            f"{self._training.name}: {self._done:,}/{self._training.steps:,} steps, loss {loss:.3f}, "
            f"{self._rows / seconds:,.1f} texts/s, {left / 60:,.0f} min left\n"
        )
        self._stream.flush()
