"""The order in which a run asks its questions, and the first of them alone."""

from analyses import list_questions
from kvprobes.runner import READS, order_questions, run
from tests.kvprobes.runs import make_options, save_tiny_model


def test_a_question_comes_after_those_whose_tables_it_reads():
    every = [question for question in list_questions().values() if question.in_run]
    ordered = [question.name for question in order_questions(every)]
    assert sorted(ordered) == sorted(question.name for question in every)
    assert ordered[:2] == ["swaps", "co_attended"]  # the first answer, as soon as it is available
    for question in every:
        for need, name in READS.items():
            if question.reads(need) and question.name != name:
                assert ordered.index(name) < ordered.index(question.name)


def test_a_quick_run_gives_the_first_answer_from_a_sample(tmp_path):
    model, said = save_tiny_model(tmp_path / "model"), list[str]()
    options = make_options(model, tmp_path / "out")
    folder = run(options, say=said.append, quick=True)
    assert folder.has_answer("co_attended")
    assert not folder.has_answer("divergence")
    assert not folder.capture_named("untrained").exists()
    assert folder.read_manifest("co_attended")["inputs"]["settings"]["documents"] == 8
    assert any(line.startswith("[2/2] ") for line in said)
    assert folder.report_path.exists()
