//! The compiled module `placet._core`.
