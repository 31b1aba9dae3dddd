"""The page of the report, one HTML file that needs no network, and the writing of all files of a report."""
