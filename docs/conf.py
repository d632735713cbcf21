"""Settings of the documentation site: ``make docs``."""

from __future__ import annotations

import functools
import re
import sys
from importlib.metadata import version as find_version
from pathlib import Path

import matplotlib as mpl

import kvprobes as kv

mpl.use("agg")
sys.path.insert(0, str(Path(__file__).parents[1]))
kv.load_model = functools.cache(kv.load_model)  # one load for all examples, as in one notebook

project, author = "kvprobes", "The kvprobes authors"
project_copyright = author
version = release = find_version("kvprobes")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "gallery",
    "tutorial",
    *("_gallery/*.ipynb", "_gallery/*.py", "_tutorial/*.ipynb", "_tutorial/*.py"),
    *("_gallery/sg_execution_times*", "_tutorial/sg_execution_times*", "sg_execution_times*"),
]
html_theme = "furo"
html_title = f"kvprobes {release}"
html_static_path: list[str] = []
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
napoleon_custom_sections = ["Returns"]  # plain text: its first line is no type
default_role = "code"  # single backquotes in docstrings name code
sphinx_gallery_conf = {
    "examples_dirs": ["tutorial", "gallery"],
    "gallery_dirs": ["_tutorial", "_gallery"],
    "filename_pattern": r"\.py$",
    "capture_repr": ("_repr_html_", "__repr__"),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "ignore_repr_types": r"matplotlib[.](axes|text|legend)",
    "show_memory": False,
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
    "copyfile_regex": "",
}


def _escape_stars(app, what, name, obj, options, lines) -> None:
    """Keep the star of a shape, "*head pair", from being read as emphasis."""
    star = re.compile(r'``.*?``|(?<=[" \[])\*(?=\w+[ ",\]])')
    lines[:] = [star.sub(lambda m: r"\*" if m[0] == "*" else m[0], line) for line in lines]


def setup(app) -> None:
    """Come before napoleon."""
    app.connect("autodoc-process-docstring", _escape_stars, priority=100)
