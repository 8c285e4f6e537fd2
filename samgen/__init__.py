"""Masks from boxes, with an uncertainty from many box prompts."""
