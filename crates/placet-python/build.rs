//! Tells the linker of macOS that the interpreter brings its symbols.
// SPDX-License-Identifier: MIT OR Apache-2.0

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
