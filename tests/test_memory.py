import sys

from probes import memory


class Library:
    def __init__(self):
        self.told = []

    def mallopt(self, option, value):
        self.told.append((option, value))


def test_glibc_is_told_the_threshold(monkeypatch):
    library = Library()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: library)
    memory.return_large_blocks(1 << 22)
    assert library.told == [(-3, 1 << 22), (-1, 64 << 20)]


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    memory.return_large_blocks()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(memory.ctypes, "CDLL", None)  # would fail if it were called
    memory.return_large_blocks()
