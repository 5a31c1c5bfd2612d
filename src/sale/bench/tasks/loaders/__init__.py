"""From a source's own rows to `BenchTask`: pure functions, one small file a family of sources."""
