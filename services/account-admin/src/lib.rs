//! account-admin.
