//! otp-dispatch.
