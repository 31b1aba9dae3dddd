"""The data sets: found, verified, downloaded, parsed, cut into windows, or replaced by a stand-in."""
