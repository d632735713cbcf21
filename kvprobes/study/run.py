"""Run a study: what is missing of every model, then tables, figure and page over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kvprobes import runner
from kvprobes.results import ResultFolder
from kvprobes.session import Say
from kvprobes.study.gather import tabulate
from kvprobes.study.plan import Study
from probes.errors import KvprobesError, TableError, UsageError
from probes.files import replacing
from probes.sealed import read_sealed, write_sealed
from probes.words.pairs import load_pairs

NAME = "study"


def run_study(study: Study, out: Path, *, say: Say) -> Path:
    """Run every model, each in a folder of its own; what is finished is reused.

    The page is written after each model, and is whole after the last. A model that cannot be read
    is named there with the reason, and the others go on.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    TableError
        If no model could be run.
    KvprobesError
        If anything is wrong with the tables or the folder.
    """
    target = ResultFolder(out)
    folders: dict[str, ResultFolder] = {}
    failed: dict[str, str] = {}
    with target.holding(NAME):
        deviated = not _register(study, out)
        if deviated:
            say("The study was changed after its first capture: its hypotheses count as deviated")
        pairs = choose_pairs(study, out)
        for number, model in enumerate(study.models, start=1):
            say(f"[{number}/{len(study.models)}] {model.title}")
            try:
                folders[model.title] = runner.run(
                    study.options(model, out, pairs),
                    asked=study.settings,
                    only=study.questions,
                    say=say,
                )
            except KvprobesError as error:
                first, *_ = str(error).replace(f"{out}/", "").splitlines() or [type(error).__name__]
                failed[model.title] = first.rstrip(".:")
                say(f"Left out {model.title}: {error}")
                continue
            _write(study, target, folders, failed, deviated=deviated)
        if not folders:
            told = "; ".join(f"{model}: {reason}" for model, reason in failed.items())
            raise TableError(f"No model of the study could be run. {told}")
        return _write(study, target, folders, failed, deviated=deviated)


def choose_pairs(study: Study, out: Path) -> str | None:
    """Return the table of pairs: as asked for, or a file that holds one split of it.

    Raises
    ------
    UsageError
        If the table has no such split.
    """
    asked, split = study.capture.pairs, study.capture.split
    if split is None:
        return asked
    table = load_pairs(asked or "compound_pairs")
    if "split" not in table or not (table["split"] == split).any():
        raise UsageError(
            f"The pairs {asked or 'compound_pairs'} hold no split {split!r}. Give a column `split` "
            "with the words train, dev and test."
        )
    path = out / f"pairs-{split}.tsv"
    with replacing(path) as aside:
        table[table["split"] == split].to_csv(aside, sep="\t", index=False)
    return str(path)


def _register(study: Study, out: Path) -> bool:
    """Note what the study said before its first capture; return whether it still says so."""
    path = out / "registered.json"
    try:
        return bool(read_sealed(path)["study"] == study.digest)
    except FileNotFoundError:
        write_sealed(path, {"study": study.digest, "claims": [h.told for h in study.hypotheses]})
        return True
    except (OSError, ValueError):
        return False  # nobody can tell what was registered


def _write(
    study: Study,
    target: ResultFolder,
    folders: Mapping[str, ResultFolder],
    failed: Mapping[str, str],
    *,
    deviated: bool,
) -> Path:
    from kvprobes.study.forest import draw
    from kvprobes.study.page import write_page

    tables = tabulate(study, folders, failed, deviated=deviated)
    runs = {
        title: {
            question: folder.read_manifest(question)["files"]
            for question in study.questions
            if folder.has_answer(question)
        }
        for title, folder in folders.items()
    }
    target.write_tables(NAME, tables, {"study": study.digest, "runs": runs})
    target.write_figures(NAME, draw(tables))
    missing = len(study.models) - len(folders) - len(failed)
    return write_page(study, target, tables, missing=missing)
