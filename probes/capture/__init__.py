"""Capture of keys, values, queries and x at word occurrences, faithfully, into a store on disk."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=["aim", "batch", "faithfulness", "moments", "plan", "read", "run", "store"],
    submod_attrs={
        "contexts": ["ContextPairs"],
        "faithfulness": ["check_faithfulness", "measure_faithfulness"],
        "moments": ["LayerMoments", "Moments", "merge_in_order"],
        "plan": ["CapturePlan", "TokenSequence", "locate_pairs", "plan_capture"],
        "plan_contexts": ["plan_coordination"],
        "plan_sentences": ["plan_sentences"],
        "plan_translation": ["plan_translation"],
        "plan_words": ["locate_words", "plan_words"],
        "read": ["Reader", "Reading"],
        "run": ["CaptureSettings", "capture"],
        "translate": ["Translation", "translate"],
        "text_run": ["capture_text", "read_layer"],
        "text_shard": ["TextSettings"],
        "store": ["Store", "create_store", "open_store"],
    },
)
