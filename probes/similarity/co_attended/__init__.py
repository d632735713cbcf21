"""Words that one query attends to, and how alike their keys and their values are."""
