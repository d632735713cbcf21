"""One command's work in one result folder: every capture is opened, and the model loaded, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.shared.given import Given, Need
from kvprobes.captures.options import CaptureOptions, Loading
from kvprobes.results import ResultFolder
from probes.errors import StoreError, StoreMismatchError, TableError, UsageError
from probes.models.bundled import DEFAULT_MODEL

if TYPE_CHECKING:
    import pandas as pd

    from analyses.shared.question import Question
    from probes.capture.run import Edited
    from probes.capture.store import Store
    from probes.models.model import Model

Say = Callable[[str], None]


class Session:
    """A result folder, and what has been opened or loaded for it.

    Parameters
    ----------
    folder
        Where results are read and written.
    model
        The model, or its name; without it, the one that the folder's capture is of, or the default.
    device
        Where the model and probes run: ``cpu``, ``cuda``.
    text
        What text a question reads that needs one; see `probes.words.load_corpus`.
    human
        Tables of human scores whose words are captured too.
    workers
        How many processes a question may use.
    loading
        How the model is loaded; as for the folder's capture, unless told.
    store
        An open main capture that is elsewhere, to be read in place of the folder's.
    edited
        An edit of the model under which coordinations are captured.
    say
        Called with a sentence on what is done or reused.
    """

    def __init__(
        self,
        folder: ResultFolder | Path | str,
        *,
        model: str | Model | None = None,
        device: str = "cpu",
        text: str = "text",
        human: Sequence[Path] = (),
        workers: int = 1,
        loading: Loading | None = None,
        store: Store | None = None,
        edited: Edited | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self.folder = folder if isinstance(folder, ResultFolder) else ResultFolder(Path(folder))
        self.device, self.text, self.human, self.workers = device, text, tuple(human), workers
        self.edited, self.say, self.loading = edited, say, loading or Loading()
        self._model_name = model if isinstance(model, str) else None
        self._model: Model | None = None if isinstance(model, str) else model
        self._store = store

    @classmethod
    def of(cls, options: CaptureOptions, *, model: Model | None = None, say: Say) -> Session:
        """Open a session on what a user asks to be captured.

        Parameters
        ----------
        model
            The model, where it is loaded already; `options` then says its name alone.
        """
        return cls(
            options.folder,
            model=model or options.model,
            device=options.device,
            human=options.human,
            loading=options.loading,
            say=say,
        )

    def beside(self, folder: Path, *, edited: Edited) -> Session:
        """Return a session on another folder, with this one's model and word pairs, edited."""
        other = Session(folder, device=self.device, store=self.store, edited=edited, say=self.say)
        other._model = self.captured_model()
        return other

    @property
    def store(self) -> Store:
        """The finished main capture: of word pairs, a user's sentences or a treebank.

        Raises
        ------
        StoreError
            If there is none, or it is not whole.
        """
        from kvprobes.captures.find import open_whole_store

        if self._store is None:
            self._store = open_whole_store(self.folder.capture)
        return self._store

    def forget_captures(self) -> None:
        """Open captures again when they are next asked for, as they have changed."""
        self._store = None

    def load(self) -> Model:
        """Load the model, or return it if it has been loaded.

        Raises
        ------
        KvprobesError
            If it cannot be loaded or read exactly.
        """
        from kvprobes.captures.find import read_capture_manifest
        from probes.models.load import load_model, name_model

        if self._model is None:
            captured = read_capture_manifest(self.folder)
            name = self._model_name or find_captured(captured)
            same = name_model(name) == captured.get("model")
            loading = self.loading.after(captured) if same else self.loading
            self.say(f"Loading {name}")
            self._model = load_model(name, device=self.device, **loading.spell_out())
        return self._model

    def captured_model(self) -> Model:
        """Load the model; it must be that of the capture, where there is one.

        Raises
        ------
        StoreMismatchError
            If it has other weights.
        """
        from kvprobes.captures.find import read_capture_manifest

        model, manifest = self.load(), read_capture_manifest(self.folder)
        weights = model.weights_hash  # which looks at every weight each time
        captured = manifest.get("identity", {}).get("weights", weights)
        if weights != captured:
            raise StoreMismatchError(
                f"{model.name} has other weights ({weights[:12]}) than those of "
                f"{manifest['model']} that were captured in {self.folder.capture} "
                f"({captured[:12]}), and a folder holds the results of one model. Give another "
                "--out, or capture again with --overwrite."
            )
        return model

    def find_obstacle(self, question: Question) -> str | None:
        """Say why a question cannot be asked of this folder's captures; None if it can.

        Only what a further capture of the same model could not solve is an obstacle.
        """
        from kvprobes.captures.find import PAIRS, has_sites, name_kind, suits_words

        if Need.PAIRS in question.needs and (kind := name_kind(self.store)) != PAIRS:
            return (
                f"It compares word pairs in sentence templates, and this capture is of: {kind}. "
                "Capture word pairs into another folder to ask it."
            )
        if Need.SITES in question.needs and not has_sites(self.folder):
            return "It needs an encoder-decoder."
        if Need.WORDS in question.needs and not suits_words(self.store):
            return "It needs English words."
        return None

    def gather(self, question: Question) -> Given:
        """Open, capture or load what a question reads.

        Raises
        ------
        KvprobesError
            If something that it needs is missing; the message says how to make it.
        """
        from kvprobes.captures import find

        given: dict[str, Any] = {
            "device": self.device,
            "workers": self.workers,
            "parts": self.folder.parts_path(question.name),
        }
        for need in (Need.PAIRS, Need.CAPTURE):
            if question.reads(need):
                given["store"] = self._find(question, need, lambda: self.store)
        if Need.PAIRS in question.needs and (obstacle := self.find_obstacle(question)):
            raise TableError(f"{question.name} cannot be asked of {self.folder.path}. {obstacle}")
        if question.reads(Need.UNTRAINED):
            given["untrained"] = find.open_untrained(self.folder, self.store)
        if Need.SITES in question.needs:
            given["sites"] = find.open_sites(self.folder, self.store)
        if Need.WORDS in question.needs:
            self._capture_words()
        if Need.CONTEXTS in question.needs:
            given["contexts"] = self._capture_contexts()
        if question.reads(Need.WORDS):
            given["words"] = find.find_word_captures(self.folder)
        if question.reads(Need.TEXT):
            given["text"] = self._find(question, Need.TEXT, lambda: find.open_text(self.folder))
        if Need.MODEL in question.needs:
            given["model"] = self.captured_model()
        if question.reads(Need.CORPUS):
            from probes.words.texts import load_corpus

            given["corpus"] = load_corpus(self.text)
        if question.reads(Need.HEADS):
            given["heads"] = (self._read("divergence") or {}).get("heads")
        if question.reads(Need.SWAPS):
            given["swaps"] = self._read("swaps")
        return Given(**given)

    def _find(self, question: Question, need: Need, find: Callable[[], Store]) -> Store | None:
        """Open what a question reads; None if it is not there and only used, not needed."""
        try:
            return find()
        except StoreError:
            if need in question.needs:
                raise
            return None

    def _capture_words(self) -> None:
        from kvprobes.captures.words import capture_words

        capture_words(self, human=self.human, keep=True)

    def _capture_contexts(self) -> Store:
        from kvprobes.captures.contexts import capture_contexts

        return capture_contexts(self)

    def _read(self, question: str) -> dict[str, pd.DataFrame] | None:
        """Read the tables of another question, if it has been answered."""
        try:
            return self.folder.read_tables(question)
        except StoreError:
            return None


def find_captured(manifest: Mapping[str, Any]) -> str:
    """Return what loads the model of a capture's manifest; the default one if it is empty."""
    from probes.models.cache import read_folders

    name = str(manifest.get("model", DEFAULT_MODEL))
    if manifest.get("origin", {}).get("source") != "folder":
        return name
    folder = read_folders().get(manifest["identity"]["weights"])
    if folder is None:
        raise UsageError(
            f"the capture is of a model in a folder named {name!r}, and where that stands on this "
            "machine is not known. Give it with --model."
        )
    return folder
