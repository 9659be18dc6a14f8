"""Extra stages in a small real container, for tests of what they can and cannot do."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evercast.plan import Unit
from evercast.runtime.execute import execute_unit
from evercast.runtime.folders import RunFolder
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document
from evercast.runtime.settings import RunSettings, write_settings
from evercast.runtime.site import Limits, Site
from workflow_documents import small_body, write_document

RECIPE = """
Bootstrap: scratch

%setup
    cd ${APPTAINER_ROOTFS}
    mkdir -p bin etc tmp var/tmp usr root
    cp /bin/busybox bin/busybox
    for name in sh ls cat id env echo sleep dd head ip wget seq mkdir rm mv tr ps grep wc touch nc; do
        ln -s busybox bin/$name
    done
    printf '#!/bin/sh\\nexec /bin/busybox sh "$@"\\n' > bin/bash
    chmod 755 bin/bash
    echo 'root:x:0:0::/root:/bin/sh' > etc/passwd
    touch etc/group
"""


def small_image(folder: Path) -> Path:
    """Build an image of one program, which plays every part of a shell."""
    (folder / "small.def").write_text(RECIPE)
    image = folder / "small.sif"
    line = ["apptainer", "--silent", "build", "--fakeroot", str(image), str(folder / "small.def")]
    subprocess.run(line, check=True, capture_output=True)
    image.chmod(0o644)
    return image


def _contained(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A stage in the small image, unless it says that it has no container."""
    return {key: value for key, value in {"container": "small.sif", **entry}.items() if value is not None}


class HostileRun:
    """A frozen plan whose extra stages run in the small image."""

    def __init__(
        self, folder: Path, image: Path, stages: Mapping[str, Mapping[str, Any]], *, results: Path | None = None
    ):
        content = small_body()
        content["stages"] = {name: _contained(entry) for name, entry in stages.items()} | content["stages"]
        document = write_document(folder / "analysis", content)
        shutil.copy(image, document.parent / "small.sif")
        self.image = document.parent / "small.sif"
        analysis, plan = plan_document(document, pseudo=False)
        run_folder = RunFolder(results if results is not None else folder / "results")
        self.frozen: FrozenPlan = freeze_plan(plan, analysis=analysis, document=document, folder=run_folder)

    def limit(self, **limits: int) -> None:
        """Let containers use less than usual, as a site does."""
        site = Site(limits=Limits(**limits))
        write_settings(RunSettings(plan=self.frozen.plan.digest, site=site), folder=self.frozen.folder)

    def unit(self, name: str) -> Unit:
        """The unit of a stage."""
        return next(unit for unit in self.frozen.plan.units if unit.name == name)

    def run(self, name: str) -> Path:
        """Run a stage and return its folder."""
        assert execute_unit(self.frozen, self.unit(name)) is True
        return self.frozen.folder.unit(self.unit(name))

    def output(self, name: str, file: str = "out.txt") -> str:
        """Run a stage and return what it wrote."""
        return (self.run(name) / file).read_text()

    def left(self) -> list[str]:
        """What lies where attempts are made."""
        attempts = self.frozen.folder.work / "attempts"
        return sorted(path.name for path in attempts.iterdir()) if attempts.exists() else []


def stage(run: str, **more: Any) -> dict[str, Any]:
    """An extra stage with one output."""
    return {"run": run, "outputs": {"out": "out.txt"}, **more}


def wait_for(condition: Callable[[], object], *, seconds: float = 120.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def processes_with(word: str) -> list[int]:
    """The processes of this machine whose command line holds a word, without zombies."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (process / "cmdline").read_bytes() and int(process.name) != os.getpid():
                found.append(int(process.name))
        except OSError:
            continue
    return found
