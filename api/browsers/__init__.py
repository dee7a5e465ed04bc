"""Protection against requests from other sites' pages, and the documentation page."""
