//! Every mistake of theory.md section 6 that concerns a single layer, as a test by its name.
