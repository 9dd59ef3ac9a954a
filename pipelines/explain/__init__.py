"""Explanations of single texts, pairs and instructions: computed, on a terminal, as a page."""
