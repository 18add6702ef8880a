//! sallyportctl.
