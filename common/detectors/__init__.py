"""Classical detectors that every autoencoder is compared with on the same samples."""
