//! sallyport-chassis.
