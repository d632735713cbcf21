"""All measures, conditions, spaces and populations, each named once; see its modules."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=["conditions", "descriptions", "measures", "places", "registry"],
    submod_attrs={
        "conditions": [
            "TRAINED",
            "find_condition",
            "list_conditions",
            "list_nulls",
            "name_difference",
            "register_condition",
            "sort_conditions",
            "unregister_condition",
        ],
        "descriptions": [
            "define_figures",
            "find_description",
            "find_label",
            "list_descriptions",
        ],
        "measures": [
            "find_measure",
            "list_measures",
            "list_pair_measures",
            "list_side_measures",
            "register_measure",
            "sort_measures",
            "unregister_measure",
        ],
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
