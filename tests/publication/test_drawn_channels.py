"""Channels of one name in several likelihoods are drawn apart where they differ."""

from pathlib import Path

from evercast.publication.report.sections_selection import binned_channels
from evercast.spec import load_analysis

DOCUMENT = Path(__file__).resolve().parents[2] / "specs" / "interference" / "analysis.yaml"


def test_channels_of_one_name_that_differ_carry_the_name_of_their_likelihood() -> None:
    drawn = binned_channels(load_analysis(DOCUMENT))
    assert [channel.title for channel in drawn] == ["SR of rate", "CR", "SR of angle", "SR of binned"]
    edges = {channel.title: len(channel.channel.edges) for channel in drawn}
    assert edges == {"SR of rate": 2, "CR": 7, "SR of angle": 7, "SR of binned": 7}
