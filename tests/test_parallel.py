import threading

import pytest
import torch

from probes.parallel import count_cores, map_threads


def test_results_come_in_order_and_each_item_runs_on_one_thread():
    seen = []

    def work(item):
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return 2 * item

    before, heard = torch.get_num_threads(), []
    assert map_threads(work, range(20), on_done=heard.append) == list(range(0, 40, 2))
    assert {threads for _, threads in seen} == {1}
    assert len({ident for ident, _ in seen}) <= count_cores()
    assert torch.get_num_threads() == before
    assert heard == [1] * 20


def test_an_error_comes_out_and_the_thread_count_is_restored():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        map_threads(lambda item: 1 // item, [1, 0, 1])
    assert torch.get_num_threads() == before


def test_the_environment_can_ask_for_fewer_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert count_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert count_cores() >= 1
