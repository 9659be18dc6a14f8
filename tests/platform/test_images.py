"""Images built, signed, checked and refused by the real programs; most tests use a small image of one program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evercast.runtime.images import resolve_image
from evercast.runtime.sif import PARTITION, SIGNATURE, read_sif

pytestmark = pytest.mark.container

RECIPE = """
Bootstrap: scratch

%setup
    cd ${APPTAINER_ROOTFS}
    mkdir -p bin etc tmp var/tmp var/log root usr/share
    cp /bin/busybox bin/busybox
    for name in sh ls cat id env echo; do ln -s busybox bin/$name; done
    cp /etc/resolv.conf /etc/hostname etc/
    echo 'root:x:0:0::/root:/bin/sh' > etc/passwd
    echo "root:*:$(expr $(date +%s) / 86400):0:99999:7:::" > etc/shadow
    touch etc/group
    date > var/log/made
    date > root/made

%labels
    place SOMEWHERE

%runscript
    exec /bin/sh "$@"
"""


def evercast(*words: str | Path, store: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with a store of its own."""
    line = [sys.executable, "-m", "evercast", *map(str, words)]
    environment = {**os.environ, "EVERCAST_IMAGES": str(store), **variables}
    ended = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=store.parent, check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


def error(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The error that a command gave as JSON."""
    body: dict[str, Any] = json.loads(ended.stdout)["error"]
    return body


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys of two people: one.pem, one.pub, two.pem, two.pub."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        private = folder / f"{name}.pem"
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True
        )
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", folder / f"{name}.pub"], check=True)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of the small image."""
    file = tmp_path_factory.mktemp("recipe") / "tools.def"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def signed_store(tmp_path_factory: pytest.TempPathFactory, keys: Path, recipe: Path) -> Path:
    """A store with the small image, named `tools` and signed by the first key; not to be changed."""
    store = tmp_path_factory.mktemp("store") / "images"
    evercast("image", "build", "tools", "--recipe", recipe, "--sign", keys / "one.pem", store=store)
    return store


@pytest.fixture
def store(signed_store: Path, tmp_path: Path) -> Path:
    """A copy of the store to spoil."""
    return Path(shutil.copytree(signed_store, tmp_path / "images"))


def image_in(store: Path) -> Path:
    """The only image of a store."""
    (file,) = store.glob("sha256-*.sif")
    return file


def test_the_same_recipe_gives_the_same_bytes(signed_store: Path, recipe: Path, keys: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    evercast("image", "build", "tools", "--recipe", recipe, store=again, EVERCAST_SIGNING_KEY=str(keys / "one.pem"))
    assert image_in(again).read_bytes() == image_in(signed_store).read_bytes()


def test_the_store_names_the_image_by_its_content(signed_store: Path) -> None:
    (row,) = json.loads(evercast("image", "list", "--json", store=signed_store).stdout)["images"]
    assert (row["name"], row["present"], row["recipe"]) == ("tools", True, "tools.def")
    assert row["file"] == str(image_in(signed_store))
    assert row["size_bytes"] == image_in(signed_store).stat().st_size
    assert image_in(signed_store).stat().st_mode & 0o444 == 0o444


def test_nothing_of_the_machine_or_the_day_is_in_the_image(signed_store: Path) -> None:
    image = image_in(signed_store)
    (offset,) = (item.offset for item in read_sif(image).objects if item.kind == PARTITION)
    names = ("etc/resolv.conf", "etc/hostname", "etc/shadow", "var/log", "root", ".singularity.d/labels.json")
    listed = subprocess.run(
        ["unsquashfs", "-o", str(offset), "-lls", "-UTC", image, *names], capture_output=True, text=True, check=True
    ).stdout
    assert "made" not in listed
    assert {line.split()[3] for line in listed.splitlines() if line.startswith(("-", "d"))} == {"1980-01-01"}
    content = subprocess.run(
        ["unsquashfs", "-o", str(offset), "-cat", image, "etc/resolv.conf", "etc/hostname", "etc/shadow",
         ".singularity.d/labels.json"], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert content.startswith("root:*:1:0:99999")
    assert "SOMEWHERE" not in content


def test_the_image_runs_without_network_home_and_host(signed_store: Path) -> None:
    flags = ["--containall", "--cleanenv", "--no-home", "--net", "--network", "none"]
    line = ["apptainer", "exec", *flags, image_in(signed_store), "cat", "/etc/passwd"]
    ended = subprocess.run(line, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("root:x:0:0")


def test_verify_says_who_signed(signed_store: Path, keys: Path) -> None:
    claimed = json.loads(evercast("image", "verify", "tools", "--json", store=signed_store).stdout)
    assert claimed["locked"]
    assert claimed["verified_by"] is None
    said = subprocess.run(["apptainer", "verify", "--key", keys / "one.pub", image_in(signed_store)], check=False)
    assert said.returncode == 0
    checked = evercast("image", "verify", "tools", "--key", keys / "one.pub", "--json", store=signed_store)
    assert [json.loads(checked.stdout)["verified_by"]] == claimed["claimed"]
    assert (
        "good, by SHA256:" in evercast("image", "verify", "tools", "--key", keys / "one.pub", store=signed_store).stdout
    )


def test_the_signature_of_somebody_else_is_refused(signed_store: Path, keys: Path) -> None:
    words = ("image", "verify", "tools", "--key", keys / "two.pub", "--json")
    assert error(evercast(*words, store=signed_store, code=5))["code"] == "image.signature"


def test_an_unsigned_image_is_refused_where_a_signature_is_asked_for(tmp_path: Path, recipe: Path, keys: Path) -> None:
    store = tmp_path / "images"
    evercast("image", "build", "tools", "--recipe", recipe, store=store)
    assert "nobody signed it" in evercast("image", "verify", "tools", store=store).stdout
    words = ("image", "verify", "tools", "--key", keys / "one.pub", "--json")
    assert error(evercast(*words, store=store, code=5))["code"] == "image.unsigned"


def test_one_changed_byte_is_found(store: Path, keys: Path) -> None:
    image = image_in(store)
    content = bytearray(image.read_bytes())
    (place,) = (item for item in read_sif(image).objects if item.kind == PARTITION)
    content[place.offset + place.size // 2] ^= 1
    image.write_bytes(content)
    assert error(evercast("image", "verify", "tools", "--json", store=store, code=5))["code"] == "image.digest"
    words = ("image", "verify", image, "--key", keys / "one.pub", "--json")
    assert error(evercast(*words, store=store, code=5))["code"] == "image.signature"


def test_a_removed_signature_is_found(store: Path) -> None:
    image = image_in(store)
    number = next(i for i, item in enumerate(read_sif(image).objects, start=1) if item.kind == SIGNATURE)
    subprocess.run(["apptainer", "sif", "del", str(number), image], check=True, capture_output=True)
    assert error(evercast("image", "verify", "tools", "--json", store=store, code=5))["code"] == "image.digest"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "image.not-an-image"),
        (b"not an image\n", "image.not-an-image"),
        (b"#!/bin/sh\necho\n", "image.not-an-image"),
    ],
    ids=["empty", "text", "script"],
)
def test_what_is_no_image_is_named(store: Path, content: bytes, code: str) -> None:
    image_in(store).write_bytes(content)
    found = error(evercast("image", "verify", "tools", "--json", store=store, code=6))
    assert found["code"] == code
    assert str(store) in found["where"]


@pytest.mark.parametrize("kept", [100, 20_000, 200_000])
def test_a_cut_image_is_named(store: Path, kept: int) -> None:
    image = image_in(store)
    image.write_bytes(image.read_bytes()[:kept])
    assert error(evercast("image", "verify", "tools", "--json", store=store, code=6))["code"] == "image.cut"


def test_a_missing_image_says_how_to_get_it(store: Path) -> None:
    image_in(store).unlink()
    found = error(evercast("image", "verify", "tools", "--json", store=store, code=6))
    assert found["code"] == "image.missing"
    rows = json.loads(evercast("image", "list", "--json", store=store).stdout)["images"]
    assert [row["present"] for row in rows] == [False]


def test_an_image_for_other_processors_is_named(store: Path) -> None:
    image = image_in(store)
    content = bytearray(image.read_bytes())
    content[45:48] = b"04\0"
    (other := store / "other.sif").write_bytes(content)
    found = error(evercast("image", "verify", other, "--json", store=store, code=6))
    assert found["code"] == "image.architecture"
    assert "arm64" in found["message"]


def test_an_image_made_by_apptainer_alone_is_taken_beside_the_document(recipe: Path, tmp_path: Path) -> None:
    image = tmp_path / "foreign.sif"
    subprocess.run(["apptainer", "--silent", "build", "--fakeroot", image, recipe], check=True, capture_output=True)
    found = resolve_image("foreign.sif", tmp_path)
    assert found.argument == str(image)
    assert evercast("image", "verify", "foreign.sif", store=tmp_path / "images").stdout.count(found.sha256) == 1


def test_a_failed_build_leaves_no_name_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "bad.def").write_text("Bootstrap: scratch\n\n%setup\n    exit 3\n")
    store = tmp_path / "images"
    found = error(evercast("image", "build", "bad", "--recipe", "bad.def", "--json", store=store, code=1))
    assert found["code"] == "image.build-failed"
    assert not store.exists()


def test_a_key_that_cannot_sign_is_named(tmp_path: Path, recipe: Path, keys: Path) -> None:
    words = ("image", "build", "tools", "--recipe", recipe, "--sign", keys / "one.pub", "--json")
    assert error(evercast(*words, store=tmp_path / "images", code=3))["code"] == "image.key"


def test_variables_of_apptainer_do_not_reach_a_build(
    recipe: Path, signed_store: Path, tmp_path: Path, keys: Path
) -> None:
    store = tmp_path / "images"
    variables = {"APPTAINER_BIND": "/etc:/usr/share", "APPTAINERENV_X": "1", "LD_PRELOAD": "/nowhere.so"}
    words = ("image", "build", "tools", "--recipe", recipe, "--sign", keys / "one.pem")
    evercast(*words, store=store, **variables)
    assert image_in(store).name == image_in(signed_store).name
