from pathlib import Path

import pytest

from evercast.errors import EnvironmentUnfit
from evercast.runtime.apptainer import Isolation, Mount, container_command, find_runtime, host_environment


def isolation(**more: object) -> Isolation:
    """What a container sees in these tests."""
    values: dict[str, object] = {
        "mounts": (
            Mount(Path("/in/a")),
            Mount(Path("/in/a")),
            Mount(Path("/in/b c")),
            Mount(Path("/out"), writable=True),
        ),
        "scratch": Path("/private/temporary"),
        "home": Path("/private/home"),
        "folder": Path("/private/work"),
        "environment": {"OMP_NUM_THREADS": "2"},
    }
    return Isolation(**{**values, **more})  # type: ignore[arg-type]


def line(**more: object) -> list[str]:
    command = ["bash", "-c", "echo 'a b'"]
    return container_command(command, program="/usr/bin/apptainer", image="image.sif", isolation=isolation(**more))


def test_the_command_line_cuts_the_container_off_from_the_host() -> None:
    assert line() == [
        "/usr/bin/apptainer", "--quiet", "exec",
        "--containall", "--cleanenv", "--no-eval", "--net", "--network", "none",
        "--home", "home:/home/evercast", "--workdir", "/private/temporary", "--pwd", "/private/work",
        "--mount", "type=bind,source=/in/a,destination=/in/a,ro",
        "--mount", "type=bind,source=/in/b c,destination=/in/b c,ro",
        "--mount", "type=bind,source=/out,destination=/out",
        "--env", "OMP_NUM_THREADS=2", "image.sif", "bash", "-c", "echo 'a b'",
    ]  # fmt: skip


def test_devices_are_there_only_for_a_job_that_was_given_some() -> None:
    assert "--nv" not in line()
    assert "--nv" in line(gpus=2)


def test_any_path_can_be_mounted() -> None:
    argument = Mount(Path('/in/a,b:c "d"')).argument()
    assert argument == 'type=bind,"source=/in/a,b:c ""d""","destination=/in/a,b:c ""d""",ro'


@pytest.mark.parametrize("value", ["$(touch /x)", "a`b`", "two\nlines", 'a"b'])
def test_a_value_that_could_be_read_as_more_than_a_value_is_refused(value: str) -> None:
    with pytest.raises(EnvironmentUnfit) as caught:
        line(environment={"X": value})
    assert caught.value.code == "container.value"


def test_the_runtime_gets_nothing_of_the_environment_that_reaches_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APPTAINER_BIND", "APPTAINERENV_X", "SINGULARITY_BIND", "LD_PRELOAD", "PYTHONPATH", "http_proxy"):
        monkeypatch.setenv(name, "/etc")
    assert set(host_environment()) <= {
        "PATH", "LANG", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
    }  # fmt: skip


def test_a_machine_without_apptainer_is_unfit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit) as caught:
        find_runtime()
    assert (caught.value.code, caught.value.exit_code) == ("container.no-runtime", 6)


@pytest.mark.parametrize("said", ["apptainer version 1.0.3", "singularity version 2.6.1-dist", ""])
def test_an_old_apptainer_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    program = tmp_path / "apptainer"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnfit, match="expected apptainer version") as caught:
        find_runtime()
    assert caught.value.code == "container.runtime-too-old"
