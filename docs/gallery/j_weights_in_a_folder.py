"""
A question, its folder, and its figure at the width of a column
===============================================================

The question `weights` reads no text: how far do W_K and W_V read the same directions of the input?
`kv.answer` writes tables and figures into a folder, and `kv.open` reads them without the model.
"""

import tempfile
from pathlib import Path

import kvprobes as kv

with tempfile.TemporaryDirectory() as folder:
    session = kv.Session(Path(folder), model=kv.load_model("smollm2-135m-instruct"))
    kv.answer("weights", session, draw=False)
    results = kv.open(folder)
    print(results.tables["weights.heads"][["layer", "kv_head", "value", "chance"]].head(3))
    (figure,) = results.draw("weights", width="icml-column").values()
figure
