//! sallyport-sql.
