"""Stage fetch: bring one public file, checked by its sha256, into the run."""

from __future__ import annotations

import logging
import os
import shutil

from evercast.artifacts.files import disk_errors, flush_to_disk, sha256_file
from evercast.errors import IntegrityError
from evercast.events.sources import fetch_source, file_name, search_path_from_environment
from evercast.plan.recipes import FetchRecipe, Task

__all__ = ["run"]

_log = logging.getLogger(__name__)


def run(task: Task[FetchRecipe]) -> None:
    """Write the file of the source, under its own name, to the output.

    Raises:
        IntegrityError: ``source.checksum``.
        EnvironmentUnfit: ``source.unavailable``, ``disk.full``, ``disk.read-only``.
        InvalidInput: ``source.url``, ``source.name``.
    """
    source = task.recipe.source
    found = fetch_source(source, search_path_from_environment(os.environ))
    target = task.output / file_name(source)
    with disk_errors(target):
        shutil.copyfile(found, target)
        flush_to_disk(target)
    if sha256_file(target) != source.sha256:
        raise IntegrityError("the file changed while it was copied", code="source.checksum", where=str(found))
    _log.info("%s: %d bytes, sha256 %s", target.name, source.size_bytes, source.sha256[:12])
