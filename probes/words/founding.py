"""The pair of words that the question came from, in each language of the shipped pairs."""

FOUNDING_PAIRS = (("network", "neural", "social"), ("网络", "神经", "社交"))
"""Head, first and second modifier; the English pair, and the same in Chinese."""
