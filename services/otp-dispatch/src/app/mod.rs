//! Use cases, one file each: load, ask the domain, store.
