"""Settings of a run: frozen, read again, also from older files; the profile and its site."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folders import freeze

from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidDocument
from evercast.runtime.folders import RunFolder
from evercast.runtime.run_settings import freeze_settings, profile_of_command, uses_containers
from evercast.runtime.settings import ImageFile, RunSettings, change_settings, read_settings, write_settings
from evercast.runtime.site import Bind, Credential, Limits, Site, read_site
from evercast.runtime.workflow_files import named_profile

SITE = """
schema: site/1.0.0
images: /cvmfs/images
binds: [{path: /cvmfs}, {path: /gpfs/data, writable: true, needed: false}]
credentials: [{variable: X509_USER_PROXY}]
scratch: $TMPDIR/evercast
limits: {processes: 100}
"""


def folder(place: Path) -> RunFolder:
    (place / "work").mkdir()
    return RunFolder(place)


def test_settings_come_back_as_they_were_written(tmp_path: Path) -> None:
    where = folder(tmp_path)
    settings = RunSettings(
        plan="ab", pseudo=True, started="2026-01-01T00:00:00Z", containers=True,
        images={"evercast": ImageFile(file="/store/x.sif", sha256="00")}, environment="evercast",
        site=Site(binds=(Bind(path="/cvmfs"),)), slurm_runs=("name",), profile="/profiles/x",
    )  # fmt: skip
    write_settings(settings, folder=where)
    assert read_settings(where) == settings
    assert change_settings(where, slurm_runs=()).slurm_runs == ()
    assert read_settings(where).images == settings.images


def test_settings_of_an_older_version_are_read(tmp_path: Path) -> None:
    where = folder(tmp_path)
    assert read_settings(where) == RunSettings()
    where.current.write_text(json.dumps({"plan": "ab", "pseudo": False, "started": "then", "something": 1}))
    assert read_settings(where) == RunSettings(plan="ab", started="then")


@pytest.mark.parametrize("text", ["[]", '{"containers": "yes"}', '{"site": {"binds": [{}]}}'])
def test_damaged_settings_are_named(tmp_path: Path, text: str) -> None:
    where = folder(tmp_path)
    where.current.write_text(text)
    with pytest.raises(IntegrityError) as caught:
        read_settings(where)
    assert caught.value.code == "run.settings-damaged"


def test_a_site_is_read_beside_its_profile(tmp_path: Path) -> None:
    assert read_site(tmp_path) == Site() == read_site(None)
    (tmp_path / "site.yaml").write_text(SITE)
    assert read_site(tmp_path) == Site(
        images="/cvmfs/images", binds=(Bind(path="/cvmfs"), Bind(path="/gpfs/data", writable=True, needed=False)),
        credentials=(Credential(variable="X509_USER_PROXY"),), scratch="$TMPDIR/evercast", limits=Limits(processes=100),
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "binds: [{path: relative}]",
        "credentials: [{variable: 'X509_USER_PROXY=secret'}]",
        "scratch: $(touch /x)",
        "limits: {processes: 1}",
        "apptainer_args: --writable",
    ],
)
def test_a_site_that_is_not_valid_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "site.yaml").write_text(f"schema: site/1.0.0\n{line}\n")
    with pytest.raises(InvalidDocument):
        read_site(tmp_path)


def test_the_profile_is_found_on_the_command_line_and_in_the_environment(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for place in (one, two):
        place.mkdir()
        (place / "config.yaml").touch()
    assert profile_of_command(["snakemake", "--profile", str(one), "--cores", "1"], {}) == one
    assert profile_of_command(["snakemake", f"--profile={one / 'config.yaml'}"], {}) == one
    assert profile_of_command(["snakemake"], {"SNAKEMAKE_PROFILE": str(two)}) == two
    assert profile_of_command(["snakemake", "--profile", str(one)], {"SNAKEMAKE_PROFILE": str(two)}) == one
    assert profile_of_command(["snakemake", "--profile"], {}) is None


def test_a_profile_in_a_folder_of_snakemake_is_found_by_its_name(tmp_path: Path) -> None:
    own, site = tmp_path / "own", tmp_path / "site"
    for place, name, file in ((own, "mine", "config.yaml"), (site, "ours", "config.v9+.yaml"), (own, "none", "other")):
        (place / "snakemake" / name).mkdir(parents=True)
        (place / "snakemake" / name / file).touch()
    variables = {"XDG_CONFIG_HOME": str(own), "XDG_CONFIG_DIRS": f"{site}:/nowhere"}
    for name, place in (("mine", own), ("ours", site)):
        assert profile_of_command(["snakemake", "--profile", name], variables) == place / "snakemake" / name
        assert profile_of_command(["snakemake"], variables | {"SNAKEMAKE_PROFILE": name}) == place / "snakemake" / name
    assert profile_of_command(["snakemake", "--profile", "none"], variables) is None


def test_snakemake_looks_for_profiles_where_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs import AppDirs  # type: ignore[attr-defined]  # noqa: PLC0415 - what Snakemake asks

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{tmp_path / 'site'}:/nowhere")
    folders = AppDirs("snakemake", "snakemake")
    for number, place in enumerate((folders.user_config_dir, folders.site_config_dir)):
        (Path(place) / f"p{number}").mkdir(parents=True)
        (Path(place) / f"p{number}" / "config.yaml").touch()
        assert named_profile(f"p{number}") == Path(place) / f"p{number}"


def test_containers_are_what_snakemake_was_told() -> None:
    from types import SimpleNamespace  # noqa: PLC0415

    from snakemake.settings.types import DeploymentMethod, DeploymentSettings  # noqa: PLC0415

    with_them = DeploymentSettings(deployment_method=frozenset({DeploymentMethod.APPTAINER}))
    assert uses_containers(SimpleNamespace(deployment_settings=with_them))
    assert not uses_containers(SimpleNamespace(deployment_settings=DeploymentSettings()))
    assert not uses_containers(None)


def test_a_run_whose_image_is_missing_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERCAST_IMAGES", str(tmp_path / "empty"))
    frozen = freeze(tmp_path)
    with pytest.raises(EnvironmentUnfit) as caught:
        freeze_settings(frozen.file, containers=True, profile=None)
    assert (caught.value.code, caught.value.exit_code) == ("image.missing", 6)
    assert json.loads(frozen.folder.run_error.read_text())["code"] == "image.missing"
    assert freeze_settings(frozen.file, containers=False, profile=None).images == {}
    assert not frozen.folder.run_error.exists()
