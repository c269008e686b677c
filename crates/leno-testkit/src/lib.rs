//! Real workloads, fault servers and runners for tests.
