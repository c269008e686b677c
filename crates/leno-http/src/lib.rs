//! HTTP/1.1 and HTTP/2 as sans-I/O machines: bytes in, events out.
