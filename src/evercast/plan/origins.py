"""Units that bring or make events: fetched files, generators and extra stages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from evercast.errors import InvalidInput
from evercast.plan.builder import Builder, slug
from evercast.plan.cost import generation_resources, light_resources
from evercast.plan.model import IMAGE_PREFIX, UnitResources
from evercast.plan.recipes import IMAGE_INPUT, CommandRecipe, FetchRecipe, GenerationRecipe
from evercast.spec.containers import is_image_name, is_registry_reference, registry_reference
from evercast.spec.model import CommandStage, Source

__all__ = ["add_command", "add_fetch", "add_generation", "source_file_name", "stage_output"]

Point = Mapping[str, str | int | float]

_STAGE_OUTPUT: Final = re.compile(r"(?P<stage>[^\[\].:]+)(?:\[(?P<point>[^\]]*)\])?\.(?P<output>[^\[\].:]+)")


def source_file_name(source: Source) -> str:
    """Return the name under which the file of a source is kept."""
    return source.filename or PurePosixPath(unquote(urlsplit(source.url).path)).name


def add_fetch(builder: Builder, name: str) -> str:
    """Return the reference of the file of source `name`, fetched by a unit that is added when it is first asked for.

    Its key follows from the digest and the name of the file; where it comes from and its licence change nothing.
    """
    source = builder.analysis.sources[name]
    if ("fetch", name) not in builder.made:
        size_mb = source.size_bytes / 1e6
        resources = light_resources(seconds=1 + size_mb / 5, disk_mb=1 + int(size_mb), memory_mb=200)
        content = {"sha256": source.sha256, "file": source_file_name(source)}
        unit = builder.add("fetch", name, FetchRecipe(source=source), inputs={}, resources=resources, content=content)
        builder.made["fetch", name] = (unit,)
    return f"{builder.one('fetch', name)}:{source_file_name(source)}"


def add_generation(builder: Builder, name: str) -> tuple[str, ...]:
    """Return the ids of the units that make the parts of generator `name`, added when first asked for."""
    if ("generation", name) not in builder.made:
        generator = builder.analysis.generators[name]
        resources = generation_resources(
            generator.events // generator.jobs, whole=generator.truth or generator.output == "hepmc3"
        )
        inputs = {}
        if generator.slha is not None:
            inputs["slha"] = builder.file(generator.slha.path, declared=generator.slha.sha256)
        builder.made["generation", name] = tuple(
            builder.add(
                "generation", f"{name}-{part}", GenerationRecipe(name=name, generator=generator, part=part),
                inputs=inputs, resources=resources,
            )
            for part in range(generator.jobs)
        )  # fmt: skip
    return builder.made["generation", name]


def add_command(builder: Builder, name: str, *, under_way: tuple[str, ...] = ()) -> None:
    """Add the units of extra stage `name`, after those of the stages it reads; each stage is added once.

    Raises:
        InvalidInput: ``plan.cycle`` or a reference that does not resolve.
    """
    if ("command", name) in builder.made:
        return
    if name in under_way:
        way = " -> ".join((*under_way, name))
        raise InvalidInput(
            f"the stages need each other in a circle: {way}", code="plan.cycle", where=f"$.stages.{name}"
        )
    stage = builder.analysis.stages[name]
    inputs = {key: _input(builder, value, under_way=(*under_way, name)) for key, value in stage.inputs.items()}
    inputs |= _image(builder, stage)
    points = [dict(zip(stage.matrix, values, strict=True)) for values in product(*stage.matrix.values())]
    jobs = tuple(_add_job(builder, name, stage, point, inputs) for point in points)
    builder.made["command", name] = jobs
    if stage.reduce is not None:
        everything = {
            f"all.{output}.{index}": f"{job}:{file}"
            for output, file in stage.outputs.items()
            for index, job in enumerate(jobs)
        }
        recipe = CommandRecipe(
            name=name, run=stage.reduce.run, inputs=stage.inputs, outputs=stage.reduce.outputs,
            files=_digests(builder, inputs), container=_container(builder, stage),
        )  # fmt: skip
        reduced = builder.add(
            "command", f"{name}-reduce", recipe, inputs={**inputs, **everything}, resources=_resources(stage)
        )
        builder.made["command", f"{name} reduce"] = (reduced,)


def _add_job(builder: Builder, name: str, stage: CommandStage, point: Point, inputs: Mapping[str, str]) -> str:
    recipe = CommandRecipe(
        name=name, run=stage.run, inputs=stage.inputs, outputs=stage.outputs, point=point,
        files=_digests(builder, inputs), container=_container(builder, stage),
    )  # fmt: skip
    label = "-".join((name, *(slug(str(value)) for value in point.values())))
    return builder.add("command", label, recipe, inputs=inputs, resources=_resources(stage))


def _digests(builder: Builder, inputs: Mapping[str, str]) -> dict[str, str]:
    local = {name: value for name, value in inputs.items() if value.startswith("file:") and name != IMAGE_INPUT}
    files = {name: value.removeprefix("file:") for name, value in local.items()}
    return {name: builder.files[path] for name, path in files.items()}


def _declared_container(builder: Builder, stage: CommandStage) -> str | None:
    """Return the image of a stage: a name in ``environments`` stands for its image, anything else for itself."""
    environment = builder.analysis.environments.get(stage.container or "default")
    if environment is not None:
        return environment.container
    return stage.container


def _container(builder: Builder, stage: CommandStage) -> str | None:
    """Return the registry reference of the image of a stage; None where there is no image, or it is an input."""
    text = _declared_container(builder, stage)
    if text is None or not is_registry_reference(text):
        return None
    reference = registry_reference(text)
    if reference is None:
        raise InvalidInput(f"the container {text!r} has no digest", code="plan.container", where="$.stages")
    return reference


def _image(builder: Builder, stage: CommandStage) -> dict[str, str]:
    """Return the input that is the image of a stage, where that is a file or has a name.

    Raises:
        InvalidInput: ``plan.unknown-image``.
    """
    text = _declared_container(builder, stage)
    if text is None or is_registry_reference(text):
        return {}
    if not is_image_name(text):
        return {IMAGE_INPUT: builder.file(text)}
    if text not in builder.images:
        raise InvalidInput(f"nobody knows the image {text!r}", code="plan.unknown-image", where="$.stages")
    return {IMAGE_INPUT: f"{IMAGE_PREFIX}{text}@sha256:{builder.images[text]}"}


def _resources(stage: CommandStage) -> UnitResources:
    wanted = stage.resources
    return UnitResources(cores=wanted.cores, memory_mb=wanted.memory_mb, runtime_min=wanted.runtime_min)


def _input(builder: Builder, value: str, *, under_way: tuple[str, ...]) -> str:
    """Return the reference behind one input of an extra stage."""
    kind, colon, rest = value.partition(":")
    if colon and kind == "source":
        return add_fetch(builder, rest)
    if colon and kind == "stage":
        return stage_output(builder, rest, under_way=under_way)
    return builder.file(value)


def stage_output(builder: Builder, text: str, *, under_way: tuple[str, ...] = ()) -> str:
    """Return the reference of an output of an extra stage.

    Args:
        builder: gets the units of the stage where they are not there yet.
        under_way: the stages that are being added, which this one must not need.
        text: ``stage.output`` (of the reduce step where it declares that output, else of a stage without matrix) or
            ``stage[axis=value,...].output``.

    Raises:
        InvalidInput: ``plan.unknown-output``, with what is there.
    """
    match = _STAGE_OUTPUT.fullmatch(text)
    name = match["stage"] if match else text
    if match is None or name not in builder.analysis.stages:
        raise _unknown(text, "no such stage", sorted(builder.analysis.stages))
    add_command(builder, name, under_way=under_way)
    stage = builder.analysis.stages[name]
    output = match["output"]
    if match["point"] is None and stage.reduce is not None and output in stage.reduce.outputs:
        return f"{builder.one('command', f'{name} reduce')}:{stage.reduce.outputs[output]}"
    if output not in stage.outputs:
        raise _unknown(text, f"stage {name} has no output {output!r}", [*stage.outputs])
    return f"{_job_at(builder, name, match['point'], text=text)}:{stage.outputs[output]}"


def _job_at(builder: Builder, name: str, point: str | None, *, text: str) -> str:
    wanted = dict(part.strip().partition("=")[::2] for part in point.split(",")) if point else {}
    jobs: dict[str, Point] = {}
    for unit in builder.made["command", name]:
        recipe = builder.units[unit].recipe
        jobs[unit] = recipe.point if isinstance(recipe, CommandRecipe) else {}
    found = [unit for unit, at in jobs.items() if {axis: str(value) for axis, value in at.items()} == wanted]
    if len(found) != 1:
        axes = builder.analysis.stages[name].matrix
        allowed = [",".join(f"{axis}={value}" for axis, value in at.items()) for at in jobs.values()]
        raise _unknown(text, f"it names no point of the matrix ({', '.join(axes) or 'no axes'})", allowed)
    return found[0]


def _unknown(text: str, reason: str, allowed: Sequence[str]) -> InvalidInput:
    return InvalidInput(
        f"{text!r} is not the output of a stage: {reason}; there is {', '.join(allowed[:12]) or 'none'}",
        code="plan.unknown-output",
        where="$.stages",
        hint="write stage.output, or stage[axis=value].output for one point of a matrix",
    )
