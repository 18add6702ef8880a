//! The services of `sallyport.otp.v1`, one file each: decode, one call, encode.
