//! One request and one answer at a time.

use crate::config::{start, to};
use crate::origin::{Peer, answering};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Origin: yes\r\n\r\nhello";

#[test]
fn a_request_reaches_the_endpoint_and_its_answer_comes_back() {
    let (origin, requests) = answering(OK);
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    for _ in 0..3 {
        let response = client.call("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Case: Kept\r\n\r\n");
        assert_eq!(response, OK);
        let request = requests.recv().unwrap();
        assert!(
            request.starts_with("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Case: Kept\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nx-request-id: "), "{request}");
    }
}
