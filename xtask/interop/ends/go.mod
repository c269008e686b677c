// Go's net/http as both ends of `cargo xtask interop matrix`: nothing but the standard library.
module leno.dev/xtask/interop/ends

go 1.24
