//! sallyport-tests.
