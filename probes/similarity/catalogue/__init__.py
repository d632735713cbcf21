"""All measures, conditions, spaces and populations, each named once; see its modules."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=["conditions", "measures", "places"],
    submod_attrs={
        "conditions": [
            "TRAINED",
            "Condition",
            "find_condition",
            "list_conditions",
            "list_nulls",
            "name_difference",
            "register_condition",
            "sort_conditions",
        ],
        "measures": ["MEASURES"],
        "places": [
            "ATTENDED",
            "OCCURRENCES",
            "PARTS",
            "POPULATIONS",
            "RANDOM_PAIRS",
            "SPACES",
            "TOPS",
            "WORD_PAIRS",
        ],
    },
)
