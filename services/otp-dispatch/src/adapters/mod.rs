//! One file for each technology behind a port.
