//! Placet's content inspection: prompt-injection sanitiser.
