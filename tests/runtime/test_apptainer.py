from pathlib import Path

from evercast.runtime.apptainer import container_command


def test_the_command_line_cuts_the_container_off_from_the_host() -> None:
    line = container_command(
        ["bash", "-c", "echo 'a b'"],
        program="/usr/bin/apptainer",
        image="docker://image@sha256:00",
        read_only=[Path("/in/a"), Path("/in/a"), Path("/in/b c")],
        writable=[Path("/out")],
        folder=Path("/scratch"),
        environment={"OMP_NUM_THREADS": "2"},
    )
    assert line == [
        "/usr/bin/apptainer", "exec", "--containall", "--no-home", "--net", "--network", "none",
        "--workdir", "/scratch", "--pwd", "/scratch", "--bind", "/scratch:/scratch:rw", "--bind", "/out:/out:rw",
        "--bind", "/in/a:/in/a:ro", "--bind", "/in/b c:/in/b c:ro", "--env", "OMP_NUM_THREADS=2",
        "docker://image@sha256:00", "bash", "-c", "echo 'a b'",
    ]  # fmt: skip
