//! One vocabulary for metrics and access records; sharded counters; exposition.
