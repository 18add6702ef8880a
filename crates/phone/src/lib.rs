//! sallyport-phone.
