"""Numbers of papers beyond the sources of the experiments: their tables, and a column that is rebuilt."""
