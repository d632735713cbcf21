"""The ``kvprobes`` command. It only parses, prints and sets exit codes; the work is in workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from analyses import text_capture as options_of_text
from analyses.explaining import explaining_errors
from analyses.options import (
    BatchSize,
    Device,
    Human,
    Json,
    Limit,
    Model,
    Out,
    Overwrite,
    Pairs,
    Preset,
    Scheduler,
    Seed,
    Stage,
    Templates,
    Treebank,
    Workers,
)
from analyses.results import ResultFolder
from analyses.workflow import (
    ANALYSES,
    DEFAULT_STAGE,
    OF_WORDS,
    CaptureOptions,
    analyse_step,
    capture_step,
    find_analysis,
    list_analyses,
    summarise,
    treebank_capture_step,
    word_capture_step,
)
from probes.models.bundled import DEFAULT_MODEL

app = typer.Typer(
    name="kvprobes",
    help="Measure what a transformer's keys and values each know, and whether they need to differ.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    model: Model = DEFAULT_MODEL,
    pairs: Pairs = None,
    templates: Templates = None,
    out: Out = None,
    device: Device = "cpu",
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    limit: Limit = None,
    human: Human = None,
    overwrite: Overwrite = False,
    key_stage: Stage = DEFAULT_STAGE,
    scheduler: Scheduler = None,
    workers: Workers = 2,
    as_json: Json = False,
) -> None:
    """Capture, run every analysis and write the report: the whole answer for one model."""
    from analyses.untrained import capture_untrained

    settings = (model, pairs, templates, out, device, batch_size, seed, limit, overwrite, key_stage)
    options = CaptureOptions(*settings, tuple(human or ()), scheduler, workers)
    with explaining_errors():
        with options.open_cluster() as cluster:
            capture_step(options, _say, cluster)
            capture_untrained(options, _say)
            names = list_analyses(options.folder)
            if set(OF_WORDS) & set(names):
                word_capture_step(options, _say, cluster)
        for name in names:
            _analyse_where_possible(options.folder, name, seed)
        _write_report(options.folder)
        _print_result(options.folder, as_json)


@app.command()
def capture(
    model: Model = DEFAULT_MODEL,
    pairs: Pairs = None,
    templates: Templates = None,
    out: Out = None,
    device: Device = "cpu",
    batch_size: BatchSize = 128,
    seed: Seed = 0,
    limit: Limit = None,
    overwrite: Overwrite = False,
    key_stage: Stage = DEFAULT_STAGE,
    treebank: Treebank = None,
    text: options_of_text.Text = None,
    column: options_of_text.Column = "text",
    window: options_of_text.Window = options_of_text.WINDOW,
    rows: options_of_text.Rows = 0,
    without_x: options_of_text.WithoutX = False,
    shard_bytes: options_of_text.ShardBytes = None,
    scheduler: Scheduler = None,
    workers: Workers = 2,
    as_json: Json = False,
) -> None:
    """Capture keys, values and x at every word occurrence; goes on where it was interrupted.

    With --treebank: at every word of a treebank. With --text: at every token of a running text, as
    moments.
    """
    settings = (model, pairs, templates, out, device, batch_size, seed, limit, overwrite, key_stage)
    options = CaptureOptions(*settings, scheduler=scheduler, workers=workers)
    of_text = options_of_text.TextOptions(text, column, window, rows, without_x, shard_bytes)
    with explaining_errors():
        options_of_text.refuse_mixed(text, treebank, pairs, templates)
        with options.open_cluster() as cluster:
            if text is not None:
                store = options_of_text.text_capture_step(options, of_text, _say, cluster)
            elif treebank is not None:
                store = treebank_capture_step(options, treebank, _say, cluster)
            else:
                store = capture_step(options, _say, cluster)
        if as_json:
            typer.echo(json.dumps({"folder": str(store.folder), **store.manifest}, indent=2))


@app.command()
def analyse(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(ANALYSES)}.")],
    model: Model = DEFAULT_MODEL,
    out: Out = None,
    seed: Seed = 0,
    human: Human = None,
    as_json: Json = False,
) -> None:
    """Run one analysis on a folder's capture: tables and figures, without loading the model.

    Only relations and meaning load it, once, to capture single words beside the pairs.
    """
    options = CaptureOptions(model, out=out, human=tuple(human or ()))
    folder = options.folder
    with explaining_errors():
        if name in OF_WORDS:
            word_capture_step(options, _say, keep=True)
        analyse_step(folder, name, seed=seed, say=_say)
        manifest = folder.read_manifest(name)
        if as_json:
            typer.echo(json.dumps({"folder": str(folder.path), **manifest}, indent=2))
        else:
            for file in sorted(folder.path.glob(f"*/{name}.*")):
                typer.echo(file)


@app.command()
def pair(
    head: Annotated[str, typer.Argument(help="The word that attends: network.")],
    first: Annotated[str, typer.Argument(help="A word before it: neural.")],
    second: Annotated[str, typer.Argument(help="Another: social.")],
    model: Model = DEFAULT_MODEL,
    templates: Templates = None,
    out: Out = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Look one pair up: how alike its keys and its values are in every head, among all pairs."""
    from analyses.attention_example import ExampleSettings
    from analyses.look_up import look_up, tabulate_heads
    from analyses.printing import print_heads

    options = CaptureOptions(model, templates=templates, out=out, seed=seed)
    with explaining_errors():
        settings = ExampleSettings(head=head, first=first, second=second, seed=seed)
        folder, tables = look_up(options, settings, say=_say)
        heads = tabulate_heads(tables)
        if as_json:
            typer.echo(heads.to_json(orient="records", indent=2))
            return
        print_heads(heads, f"{first} / {second} before {head}")
        for path in sorted((folder.path / "figures").glob("*.png")):
            typer.echo(path)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Result folders of finished runs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the comparison goes.")] = Path(
        "results/comparison"
    ),
) -> None:
    """Set models, or key stages, side by side: tables and figures from finished result folders."""
    from analyses.comparison import write_comparison

    with explaining_errors():
        for path in write_comparison([ResultFolder(folder) for folder in folders], out):
            typer.echo(path)


@app.command()
def substitute(
    model: Model = DEFAULT_MODEL,
    preset: Preset = "quick",
    text: Annotated[str, typer.Option(help="text, a .txt file, or a folder of them.")] = "text",
    out: Out = None,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Make values from keys while the model reads: how much loss comes back, head by head."""
    from analyses.causal_steps import substitute_step
    from probes.models import load_model

    folder = CaptureOptions(model, out=out).folder
    with explaining_errors():
        loaded = load_model(model, device=device)
        substitute_step(loaded, folder, text=text, preset=preset, seed=seed)
        _print_section(folder, "substitution")


@app.command()
def swap(
    model: Model = DEFAULT_MODEL,
    preset: Preset = "quick",
    out: Out = None,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Swap only keys, or only values, between the two words of minimal pairs."""
    from analyses.causal_steps import swap_step
    from probes.models import load_model

    folder = CaptureOptions(model, out=out).folder
    with explaining_errors():
        swap_step(load_model(model, device=device), folder, preset=preset, seed=seed)
        _print_section(folder, "swaps")


@app.command()
def erase(
    model: Model = DEFAULT_MODEL,
    words: Annotated[int, typer.Option(min=2, help="In so many sentences, a word each.")] = 400,
    out: Out = None,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Erase a property from keys, or values: what the model loses when no probe can find it."""
    from analyses.erasure import ErasureSettings, erase_step

    folder = CaptureOptions(model, out=out).folder
    with explaining_errors():
        erase_step(folder, settings=ErasureSettings(words=words, seed=seed), device=device)
        _print_section(folder, "erasure")


@app.command()
def tie(
    preset: Annotated[str, typer.Option(help="smoke, laptop (under an hour) or gpu.")] = "laptop",
    text: Annotated[str | None, typer.Option(help="Your own: a .txt file, or a folder.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="bytes, or that of a model.")] = None,
    out: Out = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one core each.")] = 2,
    device: Device = "cpu",
    shipped: Annotated[bool, typer.Option(help="Draw the shipped tables; train nothing.")] = False,
) -> None:
    """Train small transformers with K = V and its variants, and say what sharing costs."""
    from analyses.tie import choose_folder, draw_shipped, tie_step

    folder = choose_folder(out, preset, shipped=shipped)
    with explaining_errors():
        if shipped:
            draw_shipped(folder)
        else:
            tie_step(folder, preset, text=text, tokens=tokenizer, workers=workers, device=device)
        _print_section(folder, "tying")


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
    from analyses.printing import print_models
    from probes.models.bundled import list_models

    with explaining_errors():
        listed = list_models()
        if as_json:
            typer.echo(listed.to_json(orient="records", indent=2))
        else:
            print_models(listed)


@app.command()
def doctor(
    model: Annotated[str, typer.Argument(help="A bundled model, a local folder or a hub name.")],
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Check that what is read at every site and stage is what the model uses; exit 1 if not."""
    from analyses.printing import print_checks

    with explaining_errors():
        from probes.models import examine_model, load_model, refuse_unfaithful

        _say(f"Loading {model}")
        loaded = load_model(model, device=device, check=False)
        checks = examine_model(loaded)
        if as_json:
            typer.echo(checks.to_json(orient="records", indent=2))
        else:
            print_checks(checks, {name: site.describe() for name, site in loaded.sites.items()})
        refuse_unfaithful(model, checks)
        _say(f"{model} is read exactly: {len(checks)} checks passed")


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


def _print_section(folder: ResultFolder, name: str) -> None:
    """Say what an analysis found, and where its figures are."""
    settings = folder.read_manifest(name)["inputs"]["settings"]
    for sentence in find_analysis(name).describe(folder.read_tables(name), settings).answer:
        typer.echo(sentence)
    for file in sorted((folder.path / "figures").glob(f"{name}.*.png")):
        typer.echo(file)


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
