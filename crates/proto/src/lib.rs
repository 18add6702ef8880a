//! sallyport-proto.
