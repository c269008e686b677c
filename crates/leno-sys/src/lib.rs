//! The kernel's edges that need `unsafe`.
