"""What the arithmetic of a job runs on: threads, precision, compiled functions kept between jobs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import jax

__all__ = ["configure_device"]


def configure_device(*, threads: int, cache: Path) -> None:
    """Set up JAX for a job; to be called before the first array is made.

    The CPU client reads the number of its threads from ``NPROC`` when it starts. Products of float32 matrices keep
    their full precision on a GPU too (no TF32). Compiled functions are kept in `cache`, apart for each kind of
    processor, as they hold its instructions.

    Args:
        threads: cores the job may use.
        cache: folder for compiled functions, shared by the jobs of a run.
    """
    os.environ["NPROC"] = str(threads)
    settings: dict[str, str | float] = {
        "jax_default_matmul_precision": "highest",
        "jax_compilation_cache_dir": str(cache / _processor()),
        "jax_persistent_cache_min_compile_time_secs": 0.2,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]


def _processor() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    described = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return hashlib.sha256("\n".join([jax.__version__, *described]).encode()).hexdigest()[:12]
