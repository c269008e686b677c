//! Documents in Kubernetes' protobuf, which typed clients send (`kubectl create configmap` is one). Pure.
//!
//! Only what such clients create here is described; a field that is not is an error, never dropped. Answers are JSON,
//! which those clients read as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::status::Failure;

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Every such body begins with this.
const MAGIC: &[u8] = b"k8s\0";

/// Messages in messages.
const DEPTH_MAX: usize = 16;

/// Field numbers, names and types of `k8s.io/api/core/v1` and `k8s.io/apimachinery`: `[]` repeats, `{}` is a map with
/// text as its keys; a type that begins with a capital letter is a message.
const MESSAGES: &[(&str, &str)] = &[
    ("ConfigMap", "1 metadata ObjectMeta, 2 data{} string, 3 binaryData{} bytes, 4 immutable bool"),
    (
        "Secret",
        "1 metadata ObjectMeta, 2 data{} bytes, 3 type string, 4 stringData{} string, 5 immutable bool",
    ),
    ("Namespace", "1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status NamespaceStatus"),
    ("NamespaceSpec", "1 finalizers[] string"),
    ("NamespaceStatus", "1 phase string"),
    (
        "ServiceAccount",
        "1 metadata ObjectMeta, 2 secrets[] ObjectReference, 3 imagePullSecrets[] LocalObjectReference, \
         4 automountServiceAccountToken bool",
    ),
    ("LocalObjectReference", "1 name string"),
    (
        "ObjectReference",
        "1 kind string, 2 namespace string, 3 name string, 4 uid string, 5 apiVersion string, \
         6 resourceVersion string, 7 fieldPath string",
    ),
    ("Service", "1 metadata ObjectMeta, 2 spec ServiceSpec, 3 status ServiceStatus"),
    (
        "ServiceSpec",
        "1 ports[] ServicePort, 2 selector{} string, 3 clusterIP string, 4 type string, 5 externalIPs[] string, \
         7 sessionAffinity string, 8 loadBalancerIP string, 9 loadBalancerSourceRanges[] string, \
         10 externalName string, 11 externalTrafficPolicy string, 12 healthCheckNodePort int, \
         13 publishNotReadyAddresses bool, 17 ipFamilyPolicy string, 18 clusterIPs[] string, \
         19 ipFamilies[] string, 20 allocateLoadBalancerNodePorts bool, 21 loadBalancerClass string, \
         22 internalTrafficPolicy string, 23 trafficDistribution string",
    ),
    (
        "ServicePort",
        "1 name string, 2 protocol string, 3 port int, 4 targetPort intOrString, 5 nodePort int, \
         6 appProtocol string",
    ),
    ("ServiceStatus", "1 loadBalancer LoadBalancerStatus"),
    ("LoadBalancerStatus", ""),
    (
        "Event",
        "1 metadata ObjectMeta, 2 involvedObject ObjectReference, 3 reason string, 4 message string, \
         5 source EventSource, 6 firstTimestamp time, 7 lastTimestamp time, 8 count int, 9 type string, \
         10 eventTime time, 12 action string, 13 related ObjectReference, 14 reportingComponent string, \
         15 reportingInstance string",
    ),
    ("EventSource", "1 component string, 2 host string"),
    (
        "DeleteOptions",
        "1 gracePeriodSeconds int, 2 preconditions Preconditions, 3 orphanDependents bool, \
         4 propagationPolicy string, 5 dryRun[] string",
    ),
    ("Preconditions", "1 uid string, 2 resourceVersion string"),
    ("TokenRequest", "1 metadata ObjectMeta, 2 spec TokenRequestSpec, 3 status TokenRequestStatus"),
    (
        "TokenRequestSpec",
        "1 audiences[] string, 3 boundObjectRef BoundObjectReference, 4 expirationSeconds int",
    ),
    ("BoundObjectReference", "1 kind string, 2 apiVersion string, 3 name string, 4 uid string"),
    ("TokenRequestStatus", "1 token string, 2 expirationTimestamp time"),
    (
        "ObjectMeta",
        "1 name string, 2 generateName string, 3 namespace string, 4 selfLink string, 5 uid string, \
         6 resourceVersion string, 7 generation int, 8 creationTimestamp time, 9 deletionTimestamp time, \
         10 deletionGracePeriodSeconds int, 11 labels{} string, 12 annotations{} string, \
         13 ownerReferences[] OwnerReference, 14 finalizers[] string",
    ),
    (
        "OwnerReference",
        "1 kind string, 3 name string, 4 uid string, 5 apiVersion string, 6 controller bool, \
         7 blockOwnerDeletion bool",
    ),
];

/// The document in `bytes`, as JSON would have it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    decode(bytes).map_err(|why| {
        Failure::unsupported_media_type(format!("{MEDIA_TYPE}: {why}; send application/json"))
    })
}

fn decode(bytes: &[u8]) -> Result<Value, String> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or("the body does not begin with k8s")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in fields(envelope) {
        match field? {
            (1, Wire::Bytes(about)) => {
                for field in fields(about) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(document)) => raw = document,
            _ => {}
        }
    }
    let mut document = message(&kind, raw, 0)?;
    document["apiVersion"] = api_version.into();
    document["kind"] = kind.into();
    Ok(document)
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("{name}: more than {DEPTH_MAX} messages deep"));
    }
    let described = MESSAGES.iter().find(|(known, _)| *known == name);
    let (_, described) = described.ok_or_else(|| format!("{name} is not described here"))?;
    let mut map = Map::new();
    for field in fields(bytes) {
        let (number, wire) = field?;
        let entry = described.split(", ").find_map(|entry| {
            let mut words = entry.split(' ');
            let known: u64 = words.next()?.parse().ok()?;
            (known == number).then_some((words.next()?, words.next()?))
        });
        let (field, kind) =
            entry.ok_or_else(|| format!("field {number} of {name} is not described here"))?;
        if let Some(field) = field.strip_suffix("{}") {
            let (key, value) = map_entry(kind, &wire, depth)?;
            let entries = map.entry(field).or_insert_with(|| json!({}));
            entries[key] = value;
        } else if let Some(field) = field.strip_suffix("[]") {
            let value = scalar(kind, &wire, depth)?;
            if let Value::Array(list) = map.entry(field).or_insert_with(|| json!([])) {
                list.push(value);
            }
        } else {
            let value = scalar(kind, &wire, depth)?;
            // Protobuf writes what JSON leaves out.
            if value != json!("") && value != Value::Null && !(kind == "int" && value == 0) {
                map.insert(field.to_owned(), value);
            }
        }
    }
    Ok(Value::Object(map))
}

fn map_entry(kind: &str, wire: &Wire<'_>, depth: usize) -> Result<(String, Value), String> {
    let Wire::Bytes(bytes) = wire else { return Err("a map's entry is no message".to_owned()) };
    let (mut key, mut value) = (String::new(), json!(""));
    for field in fields(bytes) {
        match field? {
            (1, Wire::Bytes(text)) => key = utf8(text)?,
            (2, wire) => value = scalar(kind, &wire, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn scalar(kind: &str, wire: &Wire<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (kind, wire) {
        ("string", Wire::Bytes(bytes)) => utf8(bytes)?.into(),
        ("bytes", Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        ("bool", Wire::Number(number)) => (*number != 0).into(),
        ("int", Wire::Number(number)) => number.cast_signed().into(),
        ("time", Wire::Bytes(bytes)) => time(bytes)?,
        ("intOrString", Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (name, Wire::Bytes(bytes)) if name.starts_with(char::is_uppercase) => {
            message(name, bytes, depth + 1)?
        }
        _ => return Err(format!("a {kind} has the wrong wire type")),
    })
}

fn time(bytes: &[u8]) -> Result<Value, String> {
    let mut seconds = 0;
    for field in fields(bytes) {
        if let (1, Wire::Number(number)) = field? {
            seconds = number.cast_signed();
        }
    }
    // A time that was never set is year 1 or nothing at all.
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = time.filter(|_| seconds > 0).map(|time| {
        time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
    });
    Ok(text.map_or(Value::Null, Value::from))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in fields(bytes) {
        match field? {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(value)) => text = utf8(value)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// A field's value as it is on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Wire<'_>), String>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes).ok_or_else(|| "the message is cut or malformed".to_owned());
        if field.is_err() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(bytes)?;
    let wire = match tag & 7 {
        0 => Wire::Number(varint(bytes)?),
        1 => Wire::Bytes(bytes.split_off(..8)?),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Wire::Bytes(bytes.split_off(..length)?)
        }
        5 => Wire::Bytes(bytes.split_off(..4)?),
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "text is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut encoded = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        encoded.extend(content);
        encoded
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let about = [bytes(1, b"v1"), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &about), bytes(2, raw)].concat()
    }

    #[test]
    fn documents_read_as_their_json() {
        let meta = bytes(1, &[bytes(1, b"a"), bytes(8, b"")].concat());
        let data = bytes(2, &[bytes(1, b"k"), bytes(2, b"v")].concat());
        let port = bytes(1, &[vec![3 << 3, 80], bytes(4, &[8, 1, 26, 2, b'h', b'p'])].concat());
        let table = [
            (
                envelope("ConfigMap", &[meta.clone(), data.clone()].concat()),
                json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "apiVersion": "v1", "kind": "ConfigMap"}),
            ),
            (
                envelope("Secret", &[meta.clone(), data].concat()),
                json!({"metadata": {"name": "a"}, "data": {"k": "dg=="}, "apiVersion": "v1", "kind": "Secret"}),
            ),
            (
                envelope("Service", &[meta, bytes(2, &port)].concat()),
                json!({
                    "metadata": {"name": "a"},
                    "spec": {"ports": [{"port": 80, "targetPort": "hp"}]},
                    "apiVersion": "v1", "kind": "Service",
                }),
            ),
        ];
        for (encoded, expected) in table {
            assert_eq!(decode(&encoded).unwrap(), expected);
            // Cut anywhere, it is an error or a smaller document, never a panic.
            for end in 0..encoded.len() {
                let _ = decode(&encoded[..end]);
            }
        }
    }

    #[test]
    fn what_is_not_described_is_an_error_that_names_it() {
        let unknown = envelope("ConfigMap", &bytes(15, b"x"));
        assert!(decode(&unknown).unwrap_err().contains("field 15 of ConfigMap"));
        assert!(decode(&envelope("Sculpture", b"")).unwrap_err().contains("Sculpture"));
        assert!(decode(b"{}").is_err());
    }
}
