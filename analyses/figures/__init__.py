"""Figures, drawn from tables alone: no model, no torch, no pyplot state."""
