"""Words: pairs and their tables, carrier sentences, and where their words stand among tokens."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=["align"],
    submod_attrs={
        "coordination": ["Coordination", "fill_coordination", "load_coordinations"],
        "coordination_pairs": ["choose_coordinations"],
        "human": ["find_gensim_tables", "read_human_scores"],
        "lexicon": ["load_lexicon", "read_frequencies"],
        "pairs": ["hash_pairs", "load_pairs"],
        "relations": ["load_relations"],
        "sentences": ["load_sentences", "mark_treebank"],
        "tables": ["data_folder", "read_table"],
        "texts": ["Corpus", "Document", "load_corpus"],
        "templates": ["Sentence", "fill_template", "indefinite_article", "load_templates"],
        "word_templates": ["fill_word_template", "load_word_templates"],
    },
)
