//! Fixtures and the naive oracle evaluator for Placet's tests.
