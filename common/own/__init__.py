"""Read a user's own data, images or tables, in place of the data sets of the suite."""
