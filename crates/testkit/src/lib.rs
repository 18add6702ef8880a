//! sallyport-testkit.
