"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from analyses import add_question
from kvprobes.captures.options import KeyStage
from kvprobes.command.errors import explaining_errors

HELP = {"help_option_names": ["-h", "--help"]}

Model = Annotated[
    str, typer.Option("--model", "-m", help="A bundled model, a local folder or a hub name.")
]
FolderModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A bundled model, a local folder or a hub name.",
        show_default="that of the capture",
    ),
]


def _tell_version(asked: bool) -> bool:
    if asked:
        typer.echo(version("kvprobes"))
        raise typer.Exit
    return asked


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True),
]


def add_modules(modules: Iterable[str] | None) -> Iterable[str] | None:
    """Add the questions of `--module`, before anything asks which questions there are."""
    with explaining_errors():
        for module in modules or ():
            add_question(module)
    return modules


Module = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        help="Your own question: a file my_question.py, or an installed module. Repeat it.",
        callback=add_modules,
        is_eager=True,
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option(help="NAME=TEXT: what figures call a model, run or condition. Repeat it."),
]
Pairs = Annotated[
    str | None,
    typer.Option(
        help="compound_pairs, compound_pairs_zh, seed_pairs, or a table with head, m1, m2.",
        show_default="compound_pairs, or what suits the bundled model",
    ),
]
Templates = Annotated[
    str | None,
    typer.Option(
        help="How many of the shipped templates, their ids (t00,t03), templates_zh, or a file.",
        show_default="3, or what suits the bundled model",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Result folder.", show_default="results/MODEL"),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
LOADING = "Loading the model"
Revision = Annotated[
    str | None,
    typer.Option(
        help="Branch, tag or commit of a name on the hub.",
        show_default="the newest",
        rich_help_panel=LOADING,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16 or float16.", show_default="float32", rich_help_panel=LOADING
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        help="auto, or JSON: which part goes on which device; instead of --device.",
        show_default="none",
        rich_help_panel=LOADING,
    ),
]
Attn = Annotated[
    str | None,
    typer.Option(
        help="sdpa or eager: how the model attends.",
        show_default="what transformers chooses",
        rich_help_panel=LOADING,
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Sequences per batch; changes speed, and the last digits.")
]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Use at most this many pairs, or sentences of your own.")
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick", help="Only the first answer, from a sample of 300 pairs: about a minute."
    ),
]
Full = Annotated[
    bool,
    typer.Option(
        "--full",
        help="No samples: every pair beside the nulls and the untrained model, every pair of the "
        "relations. Takes longer.",
    ),
]
SkipBadRows = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows",
        help="Leave out rows of the tables of pairs that have faults, and list them.",
    ),
]
Overwrite = Annotated[bool, typer.Option(help="Delete a capture of other settings in the folder.")]
Stage = Annotated[
    KeyStage,
    typer.Option(help="Keys as W_K gives them, normed, rotated, or as the logits use them."),
]
Human = Annotated[
    list[Path] | None,
    typer.Option(
        help="A table of word pairs with human scores (SimLex-999, MEN, WordSim-353, or word1, "
        "word2, score). Tables of an installed gensim are found."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Treebank = Annotated[
    Path | None,
    typer.Option(
        help="The words of a treebank instead of word pairs: a .conllu file, or a folder with "
        "*train.conllu, *dev.conllu and *test.conllu, on whose split `kvprobes analyse probing` "
        "then probes."
    ),
]
Sentences = Annotated[
    Path | None,
    typer.Option(
        help="Your own sentences instead of word pairs: a table (.tsv, .csv, .parquet, .jsonl) "
        "with sentence, word (or start and end) and, if you like, label and query; a row per word."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Where captures run: dask (worker processes here), tcp://HOST:PORT (a Dask "
        "scheduler), or slurm.",
        show_default="this process",
        rich_help_panel="Clusters",
    ),
]
Workers = Annotated[
    int,
    typer.Option(min=1, help="Dask workers, or SLURM jobs, to start.", rich_help_panel="Clusters"),
]
Processes = Annotated[int, typer.Option(min=1, help="Processes that may be used.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="QUESTION.SETTING=VALUE",
        help="A setting of a question, such as divergence.resamples=1000; may be given again. "
        "`kvprobes analyse QUESTION --help` lists them.",
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        help="A TOML file: a table for each question, its settings in it.",
    ),
]
Text = Annotated[
    str,
    typer.Option(help="What to read: text (the shipped one), a .txt file, or a folder of them."),
]
RunningText = Annotated[
    Path | None,
    typer.Option(
        "--text",
        help="Capture running text instead of word pairs: a .txt, .jsonl or .parquet file, or a "
        "folder of them. Streamed into moments; memory stays flat.",
        rich_help_panel="Running text",
    ),
]
Column = Annotated[
    str,
    typer.Option(
        help="The column of the text in jsonl and parquet files.", rich_help_panel="Running text"
    ),
]
Window = Annotated[
    int, typer.Option(help="Tokens that are read together.", rich_help_panel="Running text")
]
Rows = Annotated[
    int,
    typer.Option(
        help="Also keep x, q, k, v of about this many tokens.", rich_help_panel="Running text"
    ),
]
WithoutX = Annotated[
    bool,
    typer.Option(
        "--without-x",
        help="Moments of q, k and v only: a fifth of the size.",
        rich_help_panel="Running text",
    ),
]
ShardBytes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Smallest text of a shard, in bytes.",
        show_default="131072",
        rich_help_panel="Running text",
    ),
]
