"""From measured tensors to tidy tables; one file a kind of table."""
