"""Which image a unit is computed in, found when the run begins and looked at again in each job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import read_json
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError, InvalidInput
from evercast.plan import IMAGE_PREFIX, Unit
from evercast.plan.recipes import IMAGE_INPUT, CommandRecipe
from evercast.runtime.apptainer import find_runtime
from evercast.runtime.containers import Container
from evercast.runtime.image_store import ImageStore, known_sha256
from evercast.runtime.images import LockedImage, find_record, is_image_name, resolve_image
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.settings import ImageFile, RunSettings
from evercast.runtime.site import Site

__all__ = ["CPU_IMAGE", "GPU_IMAGE", "container_of", "declared_environment", "images_of_run", "names_images"]

CPU_IMAGE: Final = "evercast"
GPU_IMAGE: Final = "evercast-gpu"
_NO_CONTAINER: Final = frozenset({"fetch"})
"""Stages of evercast that need the network."""


def declared_environment(plan_file: Path) -> str | None:
    """Return the image that the document declares for all stages; None where it leaves that to the run."""
    default = _declared(plan_file, "environments").get("default") or {}
    image: str | None = default.get("container")
    return image


def names_images(plan_file: Path) -> bool:
    """Return whether the document of a frozen plan calls an image by a name."""
    sections = (_declared(plan_file, section) for section in ("environments", "stages"))
    images = [entry.get("container") for section in sections for entry in section.values()]
    return any(isinstance(image, str) and is_image_name(image) for image in images)


def _declared(plan_file: Path, section: str) -> Mapping[str, Any]:
    """Return a section of the document that a plan was made from."""
    body: Any = read_json(plan_file.parent / "analysis.json")
    entries: Mapping[str, Any] = body.get(section) or {}
    return entries


def images_of_run(frozen: FrozenPlan, *, containers: bool, site: Site) -> dict[str, ImageFile]:
    """Return the images that a run will use, each with the digest that it must keep.

    Raises:
        EvercastError: one is missing (exit code 6), or is not the locked one (5).
    """
    images: dict[str, ImageFile] = {}
    for unit in frozen.plan.units:
        reference = unit.inputs.get(IMAGE_INPUT, "")
        if reference.startswith(IMAGE_PREFIX):
            name, digest = _name_and_digest(reference)
            if name not in images:
                images[name] = _found(name, frozen.document_folder, site=site)
                _compare(images[name], digest, name=name)
    if not containers:
        return images
    declared = declared_environment(frozen.file)
    if declared is not None:
        return {**images, declared: _found(declared, frozen.document_folder, site=site)}
    try:
        images[CPU_IMAGE] = _found(CPU_IMAGE, frozen.document_folder, site=site)
    except InvalidInput as err:  # the document says nothing of it, so it is not to blame
        raise EnvironmentUnfit(
            f"stages run in the image {CPU_IMAGE!r}, and {err.message}", code="image.missing", hint=err.hint
        ) from err
    try:
        images[GPU_IMAGE] = _found(GPU_IMAGE, frozen.document_folder, site=site)
    except (EnvironmentUnfit, InvalidInput):
        return images  # a job that is given GPUs will say so
    return images


def _found(text: str, folder: Path, *, site: Site) -> ImageFile:
    """Return an image: from the site's store, where it has it, else from that of the user or beside the document."""
    locked = resolve_image(text, folder, store=_store(text, folder, site=site))
    return ImageFile(file=locked.argument if locked.file is None else str(locked.file), sha256=locked.sha256)


def _store(text: str, folder: Path, *, site: Site) -> ImageStore | None:
    if site.images is None or not is_image_name(text):
        return None
    store = ImageStore(Path(site.images))
    try:
        sha256 = find_record(text, folder).sha256
    except InvalidInput:
        return store  # the site may know the name
    return store if store.file(sha256).exists() else None


def container_of(
    frozen: FrozenPlan, unit: Unit, *, settings: RunSettings, inputs: Mapping[str, Path], threads: int, gpus: int
) -> Container | None:
    """Return the container that a unit is computed in; None where it is computed in the environment of the host.

    Raises:
        EnvironmentUnfit: the image is missing, or there is no container runtime.
        IntegrityError: ``image.digest``: the image is not the one that the run began with.
    """
    own = IMAGE_INPUT in unit.inputs or (isinstance(unit.recipe, CommandRecipe) and unit.recipe.container is not None)
    if not own and (not settings.containers or unit.stage in _NO_CONTAINER):
        return None
    runtime = find_runtime()
    name, image = _image_of(frozen, unit, settings=settings, inputs=inputs, gpus=gpus)
    folder = frozen.folder
    return Container(
        name=name, image=image, runtime=runtime, site=settings.site, scratch=folder.work / "attempts",
        shared=tuple(folder.work.resolve() / stage for stage in frozen.plan.stages()), gpus=gpus, threads=threads,
    )  # fmt: skip


def _image_of(
    frozen: FrozenPlan, unit: Unit, *, settings: RunSettings, inputs: Mapping[str, Path], gpus: int
) -> tuple[str, LockedImage]:
    reference = unit.inputs.get(IMAGE_INPUT)
    if reference is not None and reference.startswith(IMAGE_PREFIX):
        name, digest = _name_and_digest(reference)
        image = settings.images.get(name) or _found(name, frozen.document_folder, site=settings.site)
        _compare(image, digest, name=name)
        return name, _kept(image, name=name)
    if reference is not None:  # a file beside the document; its digest was compared with the inputs
        name = reference.partition(":")[2]
        file, digest = inputs[IMAGE_INPUT], frozen.plan.files[name]
        return name, resolve_image(file.name, file.parent, sha256=digest)
    if isinstance(unit.recipe, CommandRecipe) and unit.recipe.container is not None:
        return unit.recipe.container, resolve_image(unit.recipe.container, None)
    name = settings.environment or (GPU_IMAGE if gpus else CPU_IMAGE)
    if name not in settings.images:
        raise EnvironmentUnfit(
            f"there was no image {name!r} when the run began",
            code="image.missing",
            where=unit.id,
            hint=f"build it: evercast image build {name}; then run again",
        )
    return name, _kept(settings.images[name], name=name)


def _name_and_digest(reference: str) -> tuple[str, str]:
    name, _, digest = reference.removeprefix(IMAGE_PREFIX).partition("@sha256:")
    return name, digest


def _kept(image: ImageFile, *, name: str) -> LockedImage:
    """Return an image of the run after a look at its content, which was locked when the run began.

    Raises:
        EnvironmentUnfit: ``image.missing``.
        IntegrityError: ``image.digest``.
    """
    file = Path(image.file)
    if not file.is_absolute():  # a registry reference, whose digest the container runtime compares
        return LockedImage(file=None, sha256=image.sha256, reference=image.file)
    try:
        found = known_sha256(file)
    except (EvercastError, OSError) as err:
        raise EnvironmentUnfit(
            f"the image {name!r} cannot be read on this machine: {err}",
            code="image.missing",
            where=str(file),
            hint="every node of the cluster must see the image store; set `images` in site.yaml or $EVERCAST_IMAGES",
        ) from err
    _compare(ImageFile(file=image.file, sha256=found), image.sha256, name=name)
    return LockedImage(file=file, sha256=found, reference=name)


def _compare(image: ImageFile, sha256: str, *, name: str) -> None:
    if image.sha256 != sha256:
        raise IntegrityError(
            f"the content of the image {name!r} is not that of the run: found sha256 {image.sha256}, expected {sha256}",
            code="image.digest",
            where=image.file,
            hint="put the image back, or begin the run again to take the new one",
        )
