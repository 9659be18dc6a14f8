"""The section about jobs is added to a report when it is published."""

from __future__ import annotations

from dataclasses import replace

from evercast.publication.report.blocks import Page, Paragraph, Section
from evercast.publication.report.page import add_section, render_page
from evercast.publication.report.sections_jobs import jobs_section
from evercast.runtime.accounting import Accounting, JobCost, StageCost


def page(title: str = "A measurement") -> str:
    about = Section(anchor="about", title="About", blocks=(Paragraph(text=title),))
    return render_page(
        Page(
            title=title, name="toy", facts=(), banners=(), sentence="", headlines=(), verdicts=(), sections=(about,),
            footer="",
        )
    )  # fmt: skip


def accounting(*, state: str = "COMPLETED", memory_fraction: float = 0.5, lost: int = 0) -> Accounting:
    job = JobCost(
        stages=("training",), units=("a-000000000000",), seconds=100.0, cpu_seconds=90.0, memory_mb=500.0,
        asked_memory_mb=1000.0, asked_min=10, cores=1, node="cn1", state=state, slurm_job="7",
    )  # fmt: skip
    ended = tuple(
        JobCost(stages=("training",), units=(), seconds=60.0, state="TIMEOUT", slurm_job=str(100 + number))
        for number in range(lost)
    )
    stage = StageCost(
        stage="training", units=1, jobs=1 + lost, seconds=100.0, cpu_seconds=90.0, memory_mb=500.0,
        asked_memory_mb=1000.0, memory_fraction=memory_fraction, nodes=("cn1", "cn2"), states={state: 1},
    )  # fmt: skip
    return Accounting(plan="0" * 64, scheduler="slurm", database=True, stages=(stage,), jobs=(job, *ended))


def test_the_section_and_its_link_are_added_once() -> None:
    once = add_section(page(), jobs_section(accounting()))
    assert once.count('id="jobs"') == once.count('href="#jobs"') == 1
    assert add_section(once, jobs_section(accounting(state="FAILED"))) == once


def test_the_rest_of_the_page_is_left_alone() -> None:
    before, after = page(), add_section(page(), jobs_section(accounting()))
    assert after.startswith(before.split("<nav", 1)[0])
    assert before.count("</section>") + 1 == after.count("</section>")


def test_the_table_has_memory_against_the_request_nodes_and_states() -> None:
    html = add_section(page(), jobs_section(accounting()))
    for words in ("500 (50 %)", "1000", "cn1, cn2", "1 completed", "90.0"):
        assert words in html


def test_a_stage_near_its_request_is_marked() -> None:
    near = add_section(page(), jobs_section(accounting(memory_fraction=0.95)))
    assert '<td class="look"><span class="mark">500 (95 %)</span>' in near
    assert '<td class="look">' not in add_section(page(), jobs_section(accounting()))


def test_jobs_that_finished_nothing_are_listed() -> None:
    html = add_section(page(), jobs_section(accounting(lost=2)))
    assert "Jobs that finished no unit" in html
    assert "101" in html
    assert "timeout" in html


def test_a_text_cannot_take_the_place_of_the_section() -> None:
    mark = "<!-- evercast: a later section -->"
    html = add_section(page(title=mark), jobs_section(accounting()))
    assert html.count('id="jobs"') == 1
    assert html.index("About") < html.index('id="jobs"')
    assert "&lt;!-- evercast" in html


def test_units_that_wanted_the_network_are_listed_the_busiest_first() -> None:
    assert "Units that wanted the network" not in add_section(page(), jobs_section(accounting()))
    wanted = replace(accounting(), network_attempts={"quiet-000000000000": 1, "loud-000000000000": 12})
    text = add_section(page(), jobs_section(wanted))
    assert "Units that wanted the network (2)" in text
    assert text.index("loud-000000000000") < text.index("quiet-000000000000")
