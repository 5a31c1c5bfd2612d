"""Charts as SVG, made here: no library in the browser, nothing fetched, and each beside a table that says the same."""
