from . import aim, batch, faithfulness, moments, plan, read, run, store
from .contexts import ContextPairs
from .faithfulness import check_faithfulness, measure_faithfulness
from .moments import LayerMoments, Moments, merge_in_order
from .plan import CapturePlan, TokenSequence, locate_pairs, plan_capture
from .plan_contexts import plan_coordination
from .plan_sentences import plan_sentences
from .plan_translation import plan_translation
from .plan_words import locate_words, plan_words
from .read import Reader, Reading
from .run import CaptureSettings, capture
from .store import Store, create_store, open_store
from .text_run import capture_text, read_layer
from .text_shard import TextSettings
from .translate import Translation, translate

__all__ = [
    "CapturePlan",
    "CaptureSettings",
    "ContextPairs",
    "LayerMoments",
    "Moments",
    "Reader",
    "Reading",
    "Store",
    "TextSettings",
    "TokenSequence",
    "Translation",
    "aim",
    "batch",
    "capture",
    "capture_text",
    "check_faithfulness",
    "create_store",
    "faithfulness",
    "locate_pairs",
    "locate_words",
    "measure_faithfulness",
    "merge_in_order",
    "moments",
    "open_store",
    "plan",
    "plan_capture",
    "plan_coordination",
    "plan_sentences",
    "plan_translation",
    "plan_words",
    "read",
    "read_layer",
    "run",
    "store",
    "translate",
]
