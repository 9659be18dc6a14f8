import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercast.errors import InvalidInput
from evercast.stages.command import render


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cp {inputs.x} {outputs.y}", "cp '/a b' /c"),
        ("cat {all.y}", "cat /1 '/2 3'"),
        ("echo {matrix.m}", "echo 1.5"),
        ("awk '{print $1}' ${HOME} {a,b} {inputs.x}", "awk '{print $1}' ${HOME} {a,b} '/a b'"),
    ],
)
def test_names_are_replaced_and_other_braces_stay(text: str, expected: str) -> None:
    values = {
        "inputs": {"x": "/a b"},
        "outputs": {"y": "/c"},
        "matrix": {"m": "1.5"},
        "all": {"y": ["/1", "/2 3"]},
    }
    assert render(text, values=values, where="s") == expected


@pytest.mark.parametrize("text", ["{inputs.z}", "{input.x}", "{outputs.x}", "{all.x}"])
def test_unknown_names_are_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"there is \{inputs.x\}") as caught:
        render(text, values={"inputs": {"x": "/a"}}, where="s")
    assert caught.value.code == "stage.unknown-placeholder"


@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_value_reaches_the_shell_as_one_word(value: str) -> None:
    import shlex  # noqa: PLC0415

    assert shlex.split(render("echo {inputs.x}", values={"inputs": {"x": value}}, where="s")) == ["echo", value]


def test_a_value_that_looks_like_a_name_is_not_replaced_again() -> None:
    values = {"inputs": {"x": "{inputs.y}", "y": "secret"}}
    assert render("echo {inputs.x}", values=values, where="s") == "echo '{inputs.y}'"
