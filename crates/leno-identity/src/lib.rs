//! SPIFFE ids, SVIDs, trust bundles, verification and rotation.
