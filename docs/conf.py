"""The documentation site. `nox -s docs` builds it, and runs the code on its pages."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import hotloops

project = "hotloops"
author = "the hotloops developers"
version = release = hotloops.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

# ---- Pages are programs ------------------------------------------------------------------------

nb_execution_mode = "force"
nb_execution_raise_on_error = True  # an assertion that fails on a page fails the build
nb_execution_timeout = 120
nb_merge_streams = True
nb_render_markdown_format = "gfm"  # which has tables
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# What pages import besides the package: page_tools, and the benchmarks' harness. Their kernels
# inherit the environment.
HERE = Path(__file__).parent
_paths = [str(HERE / "_lib"), str(HERE.parent / "bench"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _paths))

# ---- The reference is made of docstrings -------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings say it in words
autosummary_generate = True
autosummary_ignore_module_all = False
default_role = "autolink"  # in docstrings, `name` is a link if there is something to link to
numpydoc_show_class_members = False  # autosummary's templates list them
# Not wanted everywhere: long summaries, examples, other names to see.
numpydoc_validation_checks = {"all", "ES01", "EX01", "SA01", "SA04", "SS05"}
numpydoc_validation_exclude = {
    r"^hotloops\.naive\.",  # a twin refers to the fast function
    # Records have attributes in the place of parameters.
    r"\.(ActivationStatistics|History|Layer|Rung)\b",
    r"\.Initializer$",
}
nitpicky = True
nitpick_ignore_regex = [
    # Other packages have references of their own, which a build without a network cannot see.
    ("py:.*", r"(collections|numpy|torch|jax)\..*"),
    ("py:class", r"hotloops\._core\..*"),  # a base class that is not for users
]


def skip_aliases(_app: Any, _what: str, _name: str, value: object, skip: bool, _o: Any) -> bool:
    """Leave out the fields of a NamedTuple, which its docstring explains."""
    return skip or (inspect.getdoc(value) or "").startswith("Alias for field number")


def setup(app: Any) -> None:
    """Connect what is more than a setting."""
    app.connect("autodoc-skip-member", skip_aliases)


# ---- Looks -------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "hotloops"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "text": "hotloops",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "alt_text": "hotloops: to the first page",
    },
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["sphinx-version"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
