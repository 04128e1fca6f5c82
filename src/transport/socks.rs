//! SOCKS5: a connection through a proxy (RFC 1928, RFC 1929).
