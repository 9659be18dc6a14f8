"""Makes the golden artifacts of the present format version: one bundle and one archive, from the run of ``tiny/``.

    python tests/golden/make.py v1.0

They are made once, by the version that introduces a format, and committed; what is committed is never made again, so
this refuses a folder that exists. In the archive the source of evercast and the lists of packages, which are large and
tell nothing about the format, are cut to their first lines before its digests are taken.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from evercast import open_likelihood
from evercast.artifacts.bag import BAGIT, INFO, MANIFEST, TAG_MANIFEST, open_bag, write_bag
from evercast.publication.archive_pack import PackRequest, find_run, pack_archive

HERE = Path(__file__).parent
LINES = 20


def main(version: str) -> None:
    """Run, publish, pack, and write the artifacts with what they must give."""
    target = HERE / version
    if target.exists():
        raise SystemExit(f"{target} exists; golden artifacts are never made again")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(HERE / "tiny", folder, dirs_exist_ok=True)
        evercast(folder, "run", "analysis.yaml", "--cores", "1")
        evercast(folder, "publish", "analysis.yaml", "--part", "bundles")
        run = folder / "results" / "tiny"
        bundle = run / "publication" / "bundles" / "neural"
        packed = pack_archive(PackRequest(frozen=find_run(run), archive=folder / "archive"))
        identity = shortened(packed.version.folder)
        target.mkdir()
        write_tar(bundle, target / "bundle.tar.xz", top="neural")
        write_tar(folder / "archive", target / "archive.tar.xz", top="archive")
        expected = {"archive": identity, **expectation(run, bundle)}
        (target / "expect.json").write_text(json.dumps(expected, indent=1) + "\n")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(target.iterdir())]
    (target / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def evercast(folder: Path, *words: str) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "evercast", *words], cwd=folder, check=True)


def shortened(version: Path) -> str:
    """Cut source and lists of packages of a version of an archive, take its digests anew, and return its id."""
    info = {key: value for key, value in open_bag(version).info.items() if key != "Payload-Oxum"}
    for name in (BAGIT, INFO, MANIFEST, TAG_MANIFEST):
        (version / name).unlink()
    (source,) = (version / "data" / "code").glob("*.tar.gz")
    source.write_bytes(first_files(source))
    for path in (version / "data" / "workflow" / "requirements").iterdir():
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:LINES]))
    return write_bag(version, info=info).id


def first_files(source: Path) -> bytes:
    """Return a packed source with nothing but its licence and its project file."""
    buffer = io.BytesIO()
    with tarfile.open(source) as old, tarfile.open(fileobj=buffer, mode="w") as new:
        for member in old:
            content = old.extractfile(member)
            if content is not None and member.name.partition("/")[2] in ("LICENSE", "pyproject.toml"):
                new.addfile(member, content)
    return gzip.compress(buffer.getvalue(), mtime=0)


def write_tar(folder: Path, target: Path, *, top: str) -> None:
    """Pack a folder without times and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(f"{top}/{path.relative_to(folder).as_posix()}")
            member.size = path.stat().st_size
            packed.addfile(member, io.BytesIO(path.read_bytes()))
    target.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def expectation(run: Path, bundle: Path) -> dict[str, object]:
    """Return what the artifacts must give: results of the fits, and 2 NLL of the bundle at some points."""
    results = json.loads((run / "fit.json").read_text())["results"]
    best = {name: body["observed"]["fit"]["parameters"]["mu"] for name, body in results.items()}
    likelihood = open_likelihood(bundle)
    points = [[mu, norm] for mu in (0.0, 0.7, 1.0, 2.5) for norm in (-1.0, 0.0, 0.5)]
    values = [float(likelihood.twice_nll({"mu": mu, "norm_b": norm})) for mu, norm in points]
    return {"mu": best, "parameters": ["mu", "norm_b"], "points": points, "twice_nll": values}


if __name__ == "__main__":
    main(sys.argv[1])
