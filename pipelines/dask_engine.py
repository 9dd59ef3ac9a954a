"""Beam's DaskRunner, refusing the pipelines whose output it would lose.

Seen in Beam 2.77: the runner collects a bundle's output before `finish_bundle`, puts tagged outputs into the main one,
and computes only what the last transform needs. Our own unit pipeline does none of the three.
"""

import apache_beam as beam
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.runners.common import DoFnSignature
from apache_beam.runners.dask import dask_runner, overrides


class UnsafeOnDaskError(ValueError):
    """A pipeline that DaskRunner would run to its end, with output missing or misplaced."""


class CheckedDaskRunner(dask_runner.DaskRunner):
    """DaskRunner that checks first, and gives each partition one element where nothing else was asked for."""

    def run_pipeline(self, pipeline: beam.Pipeline, options):
        """Runs the pipeline on the cluster that `options` name.

        Raises:
          UnsafeOnDaskError: the pipeline would lose output.
        """
        pipeline.replace_all(overrides.dask_overrides())  # what the runner does first, too
        refuse_what_dask_loses(pipeline)
        asked = options.view_as(dask_runner.DaskOptions)
        if asked.npartitions is None and asked.partition_size is None:
            # Beam's default of 128 elements would make the most units of a corpus one task for one worker.
            asked.partition_size = 1
        return super().run_pipeline(pipeline, options)


def refuse_what_dask_loses(pipeline: beam.Pipeline) -> None:
    """Looks at every transform of the graph.

    Raises:
      UnsafeOnDaskError: lists each transform that would lose output, and why.
    """
    nodes = _primitive_transforms(pipeline)
    needed = _ancestors(nodes[-1]) if nodes else set()
    losses = [f"  {node.full_label}: {why}" for node in nodes if (why := _loss(node, node in needed))]
    if losses:
        raise UnsafeOnDaskError(
            "DaskRunner would end without an error and with output missing:\n" + "\n".join(losses) + "\nMake the "
            "pipeline linear (one output a step, none from finish_bundle), or name another --runner."
        )


def _loss(node: AppliedPTransform, needed: bool) -> str | None:
    if not needed:
        return "its branch is not the last one, and only the last one is computed"
    if len(node.outputs) > 1:
        return f"its tagged outputs {sorted(map(str, node.outputs))} would be merged into one"
    if isinstance(node.transform, beam.ParDo):
        do_fn = node.transform.fn
        if type(do_fn).finish_bundle is not beam.DoFn.finish_bundle:
            return f"what {type(do_fn).__name__}.finish_bundle emits would be lost"
        if DoFnSignature(do_fn).is_stateful_dofn():
            return f"{type(do_fn).__name__} keeps state, which DaskRunner does not"
    return None


def _primitive_transforms(pipeline: beam.Pipeline) -> list[AppliedPTransform]:
    found: list[AppliedPTransform] = []

    class Collect(PipelineVisitor):
        def visit_transform(self, transform_node: AppliedPTransform) -> None:
            found.append(transform_node)

    pipeline.visit(Collect())
    return found


def _ancestors(node: AppliedPTransform) -> set[AppliedPTransform]:
    found, waiting = {node}, [node]
    while waiting:
        current = waiting.pop()
        values = [*current.inputs, *(side.pvalue for side in current.side_inputs)]
        for producer in (value.producer for value in values):
            if producer is not None and producer not in found:
                found.add(producer)
                waiting.append(producer)
    return found
