"""The ``kvprobes`` command. It only parses, prints and sets exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from analyses import find_question
from analyses.shared.style import drawing
from kvprobes.captures.options import DEFAULT_STAGE, WINDOW, CaptureOptions, Loading, TextOptions
from kvprobes.command import looking, studying
from kvprobes.command import options as given
from kvprobes.command.errors import explaining_errors, say, tell
from kvprobes.command.questions import (
    add_command,
    answer_question,
    list_command,
    make_commands,
)
from kvprobes.command.settings import gather_settings
from kvprobes.command.talking import TalkingTyper
from kvprobes.results import ResultFolder
from probes.models.bundled import DEFAULT_MODEL

app = TalkingTyper(
    name="kvprobes",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=given.HELP,
)
app.add_typer(make_commands(), name="analyse")
app.command("questions")(list_command)
app.command()(looking.figures)
app.command()(looking.describe)
app.command()(looking.cache)
app.command()(studying.study)


@app.callback()
def start(version: given.Version = False) -> None:
    """Measure what a transformer's keys and values each know, and whether they need to differ."""


@app.command()
def run(
    model: given.Model = DEFAULT_MODEL,
    pairs: given.Pairs = None,
    templates: given.Templates = None,
    out: given.Out = None,
    device: given.Device = "cpu",
    batch_size: given.BatchSize = 128,
    seed: given.Seed = 0,
    limit: given.Limit = None,
    quick: given.Quick = False,
    full: given.Full = False,
    human: given.Human = None,
    overwrite: given.Overwrite = False,
    skip_bad_rows: given.SkipBadRows = False,
    key_stage: given.Stage = DEFAULT_STAGE,
    sentences: given.Sentences = None,
    treebank: given.Treebank = None,
    scheduler: given.Scheduler = None,
    workers: given.Workers = 2,
    revision: given.Revision = None,
    dtype: given.Dtype = None,
    device_map: given.DeviceMap = None,
    attn: given.Attn = None,
    asked: given.Set = None,
    settings: given.Settings = None,
    module: given.Module = None,
    as_json: given.Json = False,
) -> None:
    """Capture, answer every question and write the report: the whole answer for one model."""
    from kvprobes import runner

    where = (model, pairs, templates, out, device, batch_size, seed, limit, overwrite, key_stage)
    options = CaptureOptions(
        *where,
        tuple(human or ()),
        scheduler,
        workers,
        Loading(revision, dtype, device_map, attn),
        skip_bad_rows=skip_bad_rows,
        sentences=sentences,
        treebank=treebank,
        full=full,
    )
    with explaining_errors():
        chosen = gather_settings(asked or (), settings)
        folder = runner.run(options, asked=chosen, say=say, quick=quick)
        _print_result(folder, as_json)


@app.command()
def capture(
    model: given.Model = DEFAULT_MODEL,
    pairs: given.Pairs = None,
    templates: given.Templates = None,
    out: given.Out = None,
    device: given.Device = "cpu",
    batch_size: given.BatchSize = 128,
    seed: given.Seed = 0,
    limit: given.Limit = None,
    overwrite: given.Overwrite = False,
    skip_bad_rows: given.SkipBadRows = False,
    key_stage: given.Stage = DEFAULT_STAGE,
    sentences: given.Sentences = None,
    treebank: given.Treebank = None,
    text: given.RunningText = None,
    column: given.Column = "text",
    window: given.Window = WINDOW,
    rows: given.Rows = 0,
    without_x: given.WithoutX = False,
    shard_bytes: given.ShardBytes = None,
    scheduler: given.Scheduler = None,
    workers: given.Workers = 2,
    revision: given.Revision = None,
    dtype: given.Dtype = None,
    device_map: given.DeviceMap = None,
    attn: given.Attn = None,
    as_json: given.Json = False,
) -> None:
    """Capture keys, values and x at every word occurrence; an interrupted one resumes.

    With --sentences: at the words you mark in sentences of your own. With --treebank: at every word
    of a treebank. With --text: at every token of a running text, as moments.
    """
    from kvprobes.captures.main import capture_main, refuse_mixed
    from kvprobes.captures.text import capture_running_text
    from kvprobes.session import Session

    where = (model, pairs, templates, out, device, batch_size, seed, limit, overwrite, key_stage)
    options = CaptureOptions(
        *where,
        scheduler=scheduler,
        workers=workers,
        loading=Loading(revision, dtype, device_map, attn),
        skip_bad_rows=skip_bad_rows,
        sentences=sentences,
        treebank=treebank,
    )
    with explaining_errors():
        refuse_mixed(options, text=text)
        session = Session.of(options, say=say)
        with options.open_cluster() as cluster:
            if text is not None:
                of_text = TextOptions(text, column, window, rows, without_x, shard_bytes)
                store = capture_running_text(session, options, of_text, cluster)
            else:
                store = capture_main(session, options, cluster)
        if as_json:
            typer.echo(json.dumps({"folder": str(store.folder), **store.manifest}, indent=2))


@app.command()
def pair(
    head: Annotated[str, typer.Argument(help="The word that attends: network.")],
    first: Annotated[str, typer.Argument(help="A word before it: neural.")],
    second: Annotated[str, typer.Argument(help="Another word before it: social.")],
    model: given.Model = DEFAULT_MODEL,
    templates: given.Templates = None,
    out: given.Out = None,
    seed: given.Seed = 0,
    contexts: Annotated[
        bool,
        typer.Option(
            "--contexts",
            help="Capture the pair side by side in one sentence, if that has not been done.",
        ),
    ] = False,
    as_json: given.Json = False,
) -> None:
    """Look up one pair: how similar its keys and its values are in every head, among all pairs."""
    from kvprobes.command.printing import print_heads, print_one_query
    from kvprobes.look_up import look_up, look_up_contexts, tabulate_heads

    options = CaptureOptions(model, templates=templates, out=out, seed=seed)
    with explaining_errors():
        folder, found = look_up(options, head, first, second, say=say)
        heads = tabulate_heads(found)
        words = (head, first, second)
        together, reason = look_up_contexts(options, *words, capture=contexts, say=say)
        if as_json:
            tables = {"two_queries": heads} | {f"one_query_{n}": t for n, t in together.items()}
            told = {name: json.loads(t.to_json(orient="records")) for name, t in tables.items()}
            typer.echo(json.dumps(told | {"one_query_reason": reason}, indent=2))
            return
        print_heads(heads, f"{first} / {second} before {head}")
        print_one_query(together["answers"], together["heads"], reason)
        for path in sorted((folder.path / "figures").glob("*.png")):
            tell(path)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Result folders of finished runs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the comparison.")] = Path(
        "results/comparison"
    ),
    label: given.Label = None,
) -> None:
    """Set models, or key stages, side by side: tables and figures from finished result folders."""
    from kvprobes.study.comparison import write_comparison

    with explaining_errors():
        with drawing(labels=looking.read_labels(label or ())):
            written = write_comparison([ResultFolder(folder) for folder in folders], out)
        for path in written:
            tell(path)


add_command(app, find_question("substitution"), name="substitute", preset="quick")
add_command(app, find_question("swaps"), name="swap", preset="quick")
add_command(app, find_question("erasure"), name="erase")


@app.command()
def tie(
    preset: Annotated[str, typer.Option(help="smoke, laptop (under an hour) or gpu.")] = "laptop",
    text: given.Text = "text",
    tokenizer: Annotated[str | None, typer.Option(help="bytes, or that of a model.")] = None,
    out: given.Out = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one core each.")] = 2,
    device: given.Device = "cpu",
    shipped: Annotated[bool, typer.Option(help="Draw the shipped tables; train nothing.")] = False,
) -> None:
    """Train small transformers with K = V and its variants, and say what sharing costs."""
    from kvprobes.tie import copy_shipped

    folder = ResultFolder(out or Path("results") / f"tie-{'shipped' if shipped else preset}")
    question = find_question("tying")
    with explaining_errors():
        if shipped:
            copy_shipped(folder)
            for sentence in folder.describe(question).answer:
                tell(sentence)
            return
        answer_question(
            question,
            {} if tokenizer is None else {"tokenizer": tokenizer},
            out=folder.path,
            preset=preset,
            text=text,
            workers=workers,
            device=device,
        )


@app.command()
def calibrate(
    seeds: Annotated[int, typer.Option(min=1, help="Models of each kind.")] = 20,
    quick: Annotated[bool, typer.Option(help="Four kinds, and one seed of --model.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Plant heads in this model while it runs.")
    ] = None,
    model_seeds: Annotated[int, typer.Option(min=1, help="How often heads are planted in it.")] = 3,
    out: given.Out = None,
    shipped: Annotated[bool, typer.Option(help="Show the shipped table; run nothing.")] = False,
) -> None:
    """Plant known effects in small models and in a real one; say how often they are found."""
    from kvprobes.calibration import run as calibration
    from kvprobes.calibration.tables import summarise

    folder = ResultFolder(out or Path("results") / f"calibration{'-shipped' if shipped else ''}")
    with explaining_errors():
        if shipped:
            figure = calibration.copy_shipped(folder)
        else:
            options = calibration.CalibrationOptions(seeds, model, model_seeds)
            figure = calibration.calibrate(folder, options.quick() if quick else options, say=say)
        for sentence in summarise(folder.read_tables(calibration.NAME)):
            tell(sentence)
        tell(figure)


@app.command()
def report(
    model: given.Model = DEFAULT_MODEL,
    out: given.Out = None,
    module: given.Module = None,
    as_json: given.Json = False,
) -> None:
    """Write the report again from the tables and figures in a folder."""
    folder = CaptureOptions(model, out=out).folder
    with explaining_errors():
        from kvprobes.report.page import write_report

        write_report(folder)
        _print_result(folder, as_json)


@app.command()
def models(as_json: given.Json = False) -> None:
    """List the models that come as packages, with licence, size and whether they are cached."""
    from kvprobes.command.printing import print_models
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
    device: given.Device = "cpu",
    revision: given.Revision = None,
    dtype: given.Dtype = None,
    device_map: given.DeviceMap = None,
    attn: given.Attn = None,
    as_json: given.Json = False,
) -> None:
    """Check the tokenizer, the checkpoint, and that what is read is what the model uses.

    Exit 1 if any check fails.
    """
    from kvprobes.command.printing import print_checks

    with explaining_errors():
        from probes.models import examine_model, load_model, refuse_unfaithful

        say(f"Loading {model}")
        loading = Loading(revision, dtype, device_map, attn).spell_out()
        loaded = load_model(model, device=device, check=False, **loading)
        checks = examine_model(loaded)
        if as_json:
            typer.echo(checks.to_json(orient="records", indent=2))
        else:
            print_checks(checks, {name: site.describe() for name, site in loaded.sites.items()})
        refuse_unfaithful(model, checks)
        say(f"{model} is read exactly: {len(checks)} checks passed")


def main() -> None:
    """Run the command."""
    app()


def _print_result(folder: ResultFolder, as_json: bool) -> None:
    from kvprobes.report.summary import summarise

    result = summarise(folder)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    for told in result["answers"].values():
        tell(f"\n{told['asks']}")
        for sentence in filter(None, (told.get("verdict"), *told["answer"])):
            tell(f"  {sentence}")
    tell(f"\nReport: {result['report']}")


if __name__ == "__main__":
    main()
