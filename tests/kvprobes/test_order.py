"""The order in which a run asks its questions."""

from analyses import list_questions
from kvprobes.runner import READS, order_questions


def test_a_question_comes_after_those_whose_tables_it_reads():
    every = [question for question in list_questions().values() if question.in_run]
    ordered = [question.name for question in order_questions(every)]
    assert sorted(ordered) == sorted(question.name for question in every)
    assert ordered[:2] == ["swaps", "co_attended"]  # the first answer, as soon as it can be had
    for question in every:
        for need, name in READS.items():
            if question.reads(need) and question.name != name:
                assert ordered.index(name) < ordered.index(question.name)
