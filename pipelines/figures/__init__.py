"""Every figure, by matplotlib: one look, as files for a paper and as markup for a page."""
