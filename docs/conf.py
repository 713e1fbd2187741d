"""The site: ``make docs`` builds it into ``docs/_build/html``; warnings are errors."""

import os
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "src")]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NO_COLOR"] = "1"

import spikeloom  # noqa: E402
from _ext.choices import pages_of_choices  # noqa: E402
from _ext.links import ROOT, SHOWN_AT, for_the_site  # noqa: E402
from _ext.measured import write_measured  # noqa: E402
from _ext.names import pages_of_names  # noqa: E402
from _ext.options import pages_of_commands, pages_of_presets  # noqa: E402
from _ext.schemes import write_schemes  # noqa: E402
from _ext.system_schemes import SCHEMES  # noqa: E402
from _ext.writing import write_pages  # noqa: E402

project = "spikeloom"
author = copyright = "The spikeloom developers"
version = release = spikeloom.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "_ext.mathml",
]
exclude_patterns = ["_build", "examples", "**/README.txt", "reference/generated/choices"]
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist", "attrs_block"]
myst_heading_anchors = 4
myst_url_schemes = {"http": None, "https": None, "mailto": None}
highlight_language = "bash"

autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
smartquotes = False

sphinx_gallery_conf: dict[str, Any] = {
    "examples_dirs": "examples",
    "gallery_dirs": "tutorials",
    "filename_pattern": r"\d\d_\w+\.py",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "parallel": 2,
    "show_signature": False,
    "remove_config_comments": True,
    "copyfile_regex": "",
    "reference_url": {},
}

html_theme = "pydata_sphinx_theme"
html_title = "spikeloom"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["spikeloom.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def write_generated() -> None:
    """Write the pages that are made by program."""
    write_measured()
    write_schemes(DOCS / "concepts" / "schemes", SCHEMES.items())
    write_pages(DOCS / "reference" / "generated" / "choices", pages_of_choices())
    write_pages(DOCS / "reference" / "generated" / "names", pages_of_names())
    write_pages(DOCS / "reference" / "generated" / "commands", pages_of_commands())
    write_pages(DOCS / "reference" / "generated" / "presets", pages_of_presets())


def links_of_page(app: object, name: str, source: list[str]) -> None:
    """Links of a written page, as the site needs them (see ``_ext/links.py``)."""
    page = DOCS / f"{name}.md"
    if page.is_file() and "generated" not in page.parts and "measured" not in page.parts:
        source[0] = for_the_site(source[0], page, page)


def links_of_included(app: object, relative: Path, parent: str, source: list[str]) -> None:
    """The same for a page of the root that a page of the site includes."""
    shown = {DOCS / page: ROOT / name for name, page in SHOWN_AT.items()}
    page = DOCS / f"{parent}.md"
    if page in shown:
        source[0] = for_the_site(source[0], shown[page], page)


def setup(app: Any) -> None:
    """Make what is generated before Sphinx looks for pages."""
    write_generated()
    app.connect("source-read", links_of_page)
    app.connect("include-read", links_of_included)
