"""Pictures: of functions as SVG, Graphviz' DOT and Mermaid, of memory plans as SVG."""

FORMS = ("svg", "dot", "mermaid")  # of a function; all are texts
