//! Placet's pipeline: the only crate that orders the steps.
