"""The ``kvprobes`` command. It only parses, prints and sets exit codes; the work is in workflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from analyses.results import ResultFolder
from analyses.workflow import (
    ANALYSES,
    DEFAULT_TEMPLATES,
    CaptureOptions,
    analyse_step,
    capture_step,
    summarise,
)
from probes.errors import KvprobesError
from probes.models.bundled import DEFAULT_MODEL

app = typer.Typer(
    name="kvprobes",
    help="Measure what a transformer's keys and values each know, and whether they need to differ.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str, typer.Option("--model", "-m", help="A bundled model, a local folder or a hub name.")
]
Pairs = Annotated[
    str, typer.Option(help="compound_pairs, seed_pairs, or a TSV, CSV or parquet: head, m1, m2.")
]
Templates = Annotated[
    str, typer.Option(help="How many of the shipped templates, their ids (t00,t03), or a file.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Result folder.  [default: results/MODEL]")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Sequences a batch; changes speed only.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use at most so many pairs.")]
Overwrite = Annotated[bool, typer.Option(help="Delete a capture of other settings in the folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def run(
    model: Model = DEFAULT_MODEL,
    pairs: Pairs = "compound_pairs",
    templates: Templates = DEFAULT_TEMPLATES,
    out: Out = None,
    device: Device = "cpu",
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    limit: Limit = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Capture, run every analysis and write the report: the whole answer for one model."""
    options = CaptureOptions(
        model, pairs, templates, out, device, batch_size, seed, limit, overwrite
    )
    with explaining_errors():
        capture_step(options, _say)
        for name in ANALYSES:
            _analyse_where_possible(options.folder, name, seed)
        _write_report(options.folder)
        _print_result(options.folder, as_json)


@app.command()
def capture(
    model: Model = DEFAULT_MODEL,
    pairs: Pairs = "compound_pairs",
    templates: Templates = DEFAULT_TEMPLATES,
    out: Out = None,
    device: Device = "cpu",
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    limit: Limit = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Capture keys, values and x at every word occurrence; goes on where it was interrupted."""
    options = CaptureOptions(
        model, pairs, templates, out, device, batch_size, seed, limit, overwrite
    )
    with explaining_errors():
        store = capture_step(options, _say)
        if as_json:
            typer.echo(json.dumps({"folder": str(store.folder), **store.manifest}, indent=2))


@app.command()
def analyse(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(ANALYSES)}.")],
    model: Model = DEFAULT_MODEL,
    out: Out = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run one analysis on a folder's capture: tables and figures, without loading the model."""
    folder = CaptureOptions(model, out=out).folder
    with explaining_errors():
        analyse_step(folder, name, seed=seed, say=_say)
        manifest = folder.read_manifest(name)
        if as_json:
            typer.echo(json.dumps({"folder": str(folder.path), **manifest}, indent=2))
        else:
            for file in sorted(folder.path.glob(f"*/{name}.*")):
                typer.echo(file)


@app.command()
def report(model: Model = DEFAULT_MODEL, out: Out = None, as_json: Json = False) -> None:
    """Write the report again from the tables and figures in a folder."""
    folder = CaptureOptions(model, out=out).folder
    with explaining_errors():
        _write_report(folder)
        _print_result(folder, as_json)


@app.command()
def models(as_json: Json = False) -> None:
    """List the models that come as packages, with licence, size and whether they are cached."""
    from rich.console import Console
    from rich.table import Table

    from probes.models.bundled import list_models

    with explaining_errors():
        listed = list_models()
        if as_json:
            typer.echo(listed.to_json(orient="records", indent=2))
            return
        table = Table(*[str(column) for column in listed.columns], box=None)
        for row in listed.astype(str).itertuples(index=False):
            table.add_row(*row)
        Console().print(table)


@contextmanager
def explaining_errors() -> Iterator[None]:
    """Print an error of ours and exit 1; exit 130 on Ctrl-C. Anything else is a bug, and shows."""
    try:
        yield
    except KvprobesError as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo(
            "\nInterrupted. Nothing is lost: the same command goes on where it stood.", err=True
        )
        raise typer.Exit(130) from error


def run_analysis_script(name: str) -> None:
    """Be the command line of ``python -m analyses.NAME``."""

    def script(model: Model = DEFAULT_MODEL, out: Out = None, seed: Seed = 0) -> None:
        analyse(name, model=model, out=out, seed=seed)

    script.__doc__ = f"Run the analysis {name!r} on a folder's capture (see `kvprobes capture`)."
    typer.run(script)


def main() -> None:
    """Run the command."""
    app()


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _analyse_where_possible(folder: ResultFolder, name: str, seed: int) -> None:
    """Leave out an analysis that the pairs do not allow; only the headline is indispensable."""
    from probes.errors import TableError

    try:
        analyse_step(folder, name, seed=seed, say=_say)
    except TableError as error:
        if name == "divergence":
            raise
        _say(f"Left out {name}: {error}")


def _write_report(folder: ResultFolder) -> None:
    from analyses.report import write_report

    write_report(folder)


def _print_result(folder: ResultFolder, as_json: bool) -> None:
    result = summarise(folder)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(f"\n{result['verdict']}\n")
    for sentence in result["answer"]:
        typer.echo(sentence)
    typer.echo(f"\nReport: {result['report']}")


if __name__ == "__main__":
    main()
