//! sallyport.
