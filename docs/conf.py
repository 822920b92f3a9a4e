"""How Sphinx makes a site of the pages: `sphinx-build -W -c docs . site` in the root."""

project = "rat"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "weights/*.md"]
exclude_patterns = ["site"]
myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "rat"
html_show_sphinx = False
highlight_language = "none"
