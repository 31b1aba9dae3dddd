"""The data sets: find, verify, download and parse them, cut them into windows, or generate a stand-in."""
