from . import align
from .coordination import Coordination, fill_coordination, load_coordinations
from .coordination_pairs import choose_coordinations
from .human import find_gensim_tables, read_human_scores
from .lexicon import load_lexicon, read_frequencies
from .pairs import hash_pairs, load_pairs
from .relations import load_relations
from .sentences import load_sentences, mark_treebank
from .tables import data_folder, read_table
from .templates import Sentence, fill_template, indefinite_article, load_templates
from .texts import Corpus, Document, load_corpus
from .word_templates import fill_word_template, load_word_templates

__all__ = [
    "Coordination",
    "Corpus",
    "Document",
    "Sentence",
    "align",
    "choose_coordinations",
    "data_folder",
    "fill_coordination",
    "fill_template",
    "fill_word_template",
    "find_gensim_tables",
    "hash_pairs",
    "indefinite_article",
    "load_coordinations",
    "load_corpus",
    "load_lexicon",
    "load_pairs",
    "load_relations",
    "load_sentences",
    "load_templates",
    "load_word_templates",
    "mark_treebank",
    "read_frequencies",
    "read_human_scores",
    "read_table",
]
