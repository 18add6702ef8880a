//! sallyport-smpp.
