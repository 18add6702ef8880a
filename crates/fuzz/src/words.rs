//! Words that inputs are bent with: what the readers of numbers, codes, addresses, forms and
//! messages tell apart, and what trips others up.

#[rustfmt::skip]
pub(crate) const WORDS: &[&str] = &[
    // Numbers, and digits of other scripts.
    "+", "00", "0", "+33", "+1", "+44", "0033", "+33612345678", "06 12 34 56 78", "(0)", "＋",
    "٠٦١٢", "۰۶", "０６", ";ext=5", "x12", "/", "\u{a0}", "\u{202f}", "\u{2011}", "\u{202e}",
    "\u{200b}", "\u{feff}", "FR", "GB", "US", "XK", "ZZ",
    // Codes, keys and tokens.
    "012345", "000000", "999999", "0O1IL", "ZZZZ-ZZZZ", "sps_", "spl_", "spb_", "k1.",
    "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "Bearer ",
    "00000000-0000-0000-0000-000000000000", "0198c0de-0000-7000-8000-000000000001",
    // Addresses and domains.
    "@", "@@", ".", "..", "a@example.com", "example.com", "xn--", "xn--bcher-kva", "ß", "İ",
    "\u{ad}", "\u{3002}", "192.0.2.1", "[::1]", "::ffff:192.0.2.1", "localhost",
    // Forms, cookies and headers.
    "&", "=", "%", "%00", "%0d%0a", "%C3%28", "+", ";", ",", "q=", "csrf=", "nonce=", "next=",
    "go=", "why=", "wait=18446744073709551615", "//", "/\\", "https://evil.example", "javascript:",
    "__Host-session=", "__Host-pre=", "fr-CA,fr;q=0.9", "enable.", "\r\n", "\t",
    // Text that is read as something else.
    "<script>", "\"><img src=x>", "'", "\"", "--", "{{", "${", "=1+1", "\0", "\u{7f}", "\u{85}",
    "\u{2028}", "é", "e\u{301}", "漢", "🦀", "ﬀ", "\u{10ffff}",
    // Lengths and borders of numbers.
    "-1", "255", "256", "65535", "65536", "2147483647", "2147483648", "4294967295",
    "9223372036854775807", "18446744073709551615", "1e308", "NaN",
    // JSON, and the words of the queue.
    "null", "true", "[]", "{}", "\"state\":\"failed\"", "\"reason\":", "\"retries\":",
    // Receipts of carriers.
    "id:", "stat:", "DELIVRD", "err:", "submit date:", "text:",
];
