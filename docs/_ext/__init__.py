"""Parts of the site that are made by program; ``conf.py`` calls them. None but ``mathml`` needs Sphinx."""
