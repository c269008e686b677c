//! Envoy's v3 wire format to and from the configuration model of `leno-core`; ADS machines.
