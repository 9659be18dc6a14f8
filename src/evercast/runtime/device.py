"""What the arithmetic of a job runs on: threads, GPUs, precision, compiled functions kept between jobs.

A job gets GPUs from its rule (``--gpus N``, which a profile sets) and from the scheduler (``CUDA_VISIBLE_DEVICES``);
what JAX sees of them is what counts. Where it sees none, the job fails, unless the document lets it go on with the CPU.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import jax

from evercast.errors import EnvironmentUnfit
from evercast.spec.model import Device

__all__ = ["DETERMINISM", "common_device", "configure_device", "device_record"]

_log = logging.getLogger(__name__)
DETERMINISM: Final[Mapping[str, str]] = {"xla_gpu_deterministic_ops": "true", "xla_gpu_autotune_level": "0"}
"""Flags of XLA for a GPU: no operation whose sums come in another order each time, no choice of kernels by a race."""
_NOTE: Final = "EVERCAST_DEVICE"
"""Variable that says what this process, and those it starts, were given: ``GPUS`` or ``GPUS fallback``."""


def configure_device(*, threads: int, cache: Path, gpus: int = 0, device: Device | None = None) -> None:
    """Set up JAX for a job; to be called before the first array is made.

    The CPU client reads the number of its threads from ``NPROC`` when it starts, and has a device for each, so that
    networks are trained beside each other. Products of float32 matrices keep their full precision on a GPU too (no
    TF32). On a GPU XLA is told to be deterministic, unless ``XLA_FLAGS`` says otherwise. Compiled functions are kept in
    `cache`, apart for each kind of processor, as they hold its instructions.

    Args:
        threads: cores the job may use.
        cache: folder for compiled functions, shared by the jobs of a run.
        gpus: that the job was given.
        device: what the document declares; None: whatever was given.

    Raises:
        EnvironmentUnfit: ``device.no-gpu``: none is seen of the GPUs that the job was given or the document needs.
    """
    wanted = device or Device()
    use_gpu = gpus > 0 and wanted.kind != "cpu"
    os.environ["NPROC"] = str(threads)
    os.environ[_NOTE] = str(gpus)
    settings: dict[str, str | float] = {
        "jax_default_matmul_precision": "highest",
        "jax_compilation_cache_dir": str(cache / _processor()),
        "jax_persistent_cache_min_compile_time_secs": 0.2,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    if use_gpu:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus))))
        os.environ["XLA_FLAGS"] = _with_flags(os.environ.get("XLA_FLAGS", ""))
    with suppress(RuntimeError):  # another unit of this process has used the devices: they remain as they are
        jax.config.update("jax_num_cpu_devices", threads)  # type: ignore[no-untyped-call]
        if not use_gpu:
            jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    if use_gpu or wanted.kind == "gpu":
        _require_gpu(gpus, wanted)
    elif jax.default_backend() != "cpu":
        jax.config.update("jax_default_device", jax.devices("cpu")[0])  # type: ignore[no-untyped-call]


def common_device(declared: Iterable[Device]) -> Device:
    """Return what several ensembles have in common, for a job that reads the networks of all of them.

    It needs a GPU where one of them does, has none to use where all want the CPU, and may fall back where all may.
    """
    every = list(declared)
    kinds = {device.kind for device in every}
    kind: Literal["any", "gpu", "cpu"] = "gpu" if "gpu" in kinds else "cpu" if kinds == {"cpu"} else "any"
    return Device(kind=kind, cpu_fallback=bool(every) and all(d.cpu_fallback or d.kind == "cpu" for d in every))


def _require_gpu(gpus: int, wanted: Device) -> None:
    """Refuse to compute without a GPU, or note that it is done."""
    jax.config.update("jax_default_device", None)  # type: ignore[no-untyped-call]
    seen = [one for one in jax.local_devices() if one.platform != "cpu"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen:
        if len(seen) < gpus:
            _log.warning("%d GPUs were given to the job, JAX sees %d of them", gpus, len(seen))
        return
    found = f"the job was given {gpus} GPUs (CUDA_VISIBLE_DEVICES is {visible!r}) and JAX sees none"
    if wanted.cpu_fallback:
        _log.warning("%s; it goes on with the CPU, as the document allows", found)
        os.environ[_NOTE] = f"{gpus} fallback"
        return
    if gpus == 0:
        found = "the document asks for a GPU (training.device) and the job was given none"
        hint = "use a profile that gives GPUs to this stage, or set training.device.cpu_fallback: true"
    else:
        hint = (
            "look at nvidia-smi on the node and at the CUDA packages of JAX (image evercast-gpu); "
            "training.device: {cpu_fallback: true} lets such jobs use the CPU"
        )
    raise EnvironmentUnfit(found, code="device.no-gpu", hint=hint)


def _with_flags(flags: str) -> str:
    """Return XLA flags with those of `DETERMINISM` that are not among them."""
    missing = [f"--{name}={value}" for name, value in DETERMINISM.items() if f"--{name}" not in flags]
    return " ".join([*flags.split(), *missing])


def device_record() -> dict[str, str]:
    """Return what this process has computed with, for a receipt; nothing where no array was made.

    ``platform``, ``kind`` and ``count`` are those JAX sees, ``gpus_given`` what the job got; ``fallback`` is there
    where the CPU stood in for a GPU.
    """
    if "jax" not in sys.modules:
        return {}
    chosen, precision = (getattr(jax.config, f"jax_default_{name}") for name in ("device", "matmul_precision"))
    devices = [chosen] if isinstance(chosen, jax.Device) else jax.local_devices()
    given, _, fallback = os.environ.get(_NOTE, "0").partition(" ")
    record = {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": str(len(devices)),
        "matmul_precision": str(precision),
        "gpus_given": given,
    }
    for variable in ("CUDA_VISIBLE_DEVICES", "XLA_FLAGS"):
        if value := os.environ.get(variable):
            record[variable] = value
    return record | ({"fallback": "the document lets the CPU stand in for a missing GPU"} if fallback else {})


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    described = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return hashlib.sha256("\n".join([jax.__version__, *described]).encode()).hexdigest()[:12]
