// Go's net/http as both ends of `cargo xtask interop matrix`; docs/interop.md says what is exchanged.
//
//	ends server                     prints the ports of HTTP/1 and of HTTP/2 (prior knowledge)
//	ends client http1|http2 URL
package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strconv"
	"strings"
)

var large = bytes.Repeat([]byte("x"), 100_000)

func sum(data []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)) }

func orDash(value string) string {
	if value == "" {
		return "-"
	}
	return value
}

func many(headers http.Header) int {
	count := 0
	for name := range headers {
		if strings.HasPrefix(name, "X-Many-") {
			count++
		}
	}
	return count
}

func answer(w http.ResponseWriter, r *http.Request) {
	send := func(status int, body []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		w.Write(body)
	}
	if r.URL.Path == "/early" {
		// What is not read is read, or its stream reset, by the server.
		send(413, []byte("early"))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch r.URL.Path {
	case "/echo":
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Path", r.RequestURI)
		w.Header().Set("X-Length", strconv.Itoa(len(body)))
		w.Header().Set("X-Sum", sum(body))
		w.Header().Set("X-Test", orDash(r.Header.Get("X-Test")))
		w.Header().Set("X-Trailer", orDash(r.Trailer.Get("X-Trailer")))
		send(200, body)
	case "/large":
		send(200, large)
	case "/chunked":
		for range 10 {
			w.Write(large[:10_000])
			w.(http.Flusher).Flush()
		}
	case "/trailers":
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", sum([]byte("hello")))
	case "/status/204":
		w.WriteHeader(204)
	case "/status/304":
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(304)
	case "/hints":
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		send(200, []byte("hinted"))
	case "/headers":
		for at := range 40 {
			w.Header().Set(fmt.Sprintf("X-Many-%d", at), fmt.Sprintf("value-%d", at))
		}
		w.Header().Set("X-Big", strings.Repeat("h", 6000))
		send(200, fmt.Appendf(nil, "many=%d big=%d", many(r.Header), len(r.Header.Get("X-Big"))))
	case "/cookies":
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2; Path=/"}
		send(200, []byte(orDash(strings.Join(r.Header["Cookie"], "; "))))
	default:
		send(404, []byte("no such path"))
	}
}

func serve() error {
	listen := func(protocols *http.Protocols) (int, error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		server := http.Server{Handler: http.HandlerFunc(answer), Protocols: protocols}
		go server.Serve(listener)
		return listener.Addr().(*net.TCPAddr).Port, nil
	}
	var http1, http2 http.Protocols
	http1.SetHTTP1(true)
	http2.SetUnencryptedHTTP2(true)
	first, err := listen(&http1)
	if err != nil {
		return err
	}
	second, err := listen(&http2)
	if err != nil {
		return err
	}
	fmt.Println(first, second)
	select {}
}

// A body of unknown length.
type stream struct{ io.Reader }

type plan struct {
	name, method, path string
	headers            map[string]string
	body               []byte
	chunked            bool
	trailers           http.Header
}

func (p plan) run(client *http.Client, url string) (string, error) {
	var body io.Reader
	if p.body != nil {
		body = bytes.NewReader(p.body)
		if p.chunked {
			body = stream{body}
		}
	}
	request, err := http.NewRequest(p.method, url+p.path, body)
	if err != nil {
		return "", err
	}
	for name, value := range p.headers {
		request.Header.Set(name, value)
	}
	request.Trailer = p.trailers
	var interim []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		interim = append(interim, strconv.Itoa(code))
		return nil
	}}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	return show(response, received, interim), nil
}

func show(response *http.Response, body []byte, interim []string) string {
	words := []string{fmt.Sprintf("status=%d length=%d sum=%s", response.StatusCode, len(body), sum(body))}
	names := []string{"x-method", "x-path", "x-length", "x-sum", "x-test", "x-trailer", "content-length", "etag"}
	for _, name := range names {
		if value := response.Header.Get(name); value != "" {
			words = append(words, name+"="+value)
		}
	}
	if count := many(response.Header); count > 0 {
		words = append(words, fmt.Sprintf("many=%d big=%d text=%s", count, len(response.Header.Get("X-Big")), body))
	}
	if cookies := response.Header["Set-Cookie"]; cookies != nil {
		words = append(words, fmt.Sprintf("set-cookie=%s text=%s", strings.Join(cookies, "|"), body))
	}
	if trailer := response.Trailer.Get("X-Sum"); trailer != "" {
		words = append(words, "trailer="+trailer)
	}
	if interim != nil {
		words = append(words, "interim="+strings.Join(interim, ","))
	}
	return strings.Join(words, " ")
}

func exchange(version, url string) error {
	var protocols http.Protocols
	protocols.SetHTTP1(version == "http1")
	protocols.SetUnencryptedHTTP2(version == "http2")
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true, ExpectContinueTimeout: 5e9}
	client := &http.Client{Transport: transport}
	headers := map[string]string{"X-Big": strings.Repeat("h", 6000)}
	for at := range 40 {
		headers[fmt.Sprintf("X-Many-%d", at)] = fmt.Sprintf("value-%d", at)
	}
	plans := []plan{
		{name: "204", path: "/status/204"},
		{name: "304", path: "/status/304"},
		{name: "get", path: "/echo?x=%20y&z=", headers: map[string]string{"X-Test": "a, b"}},
		{name: "post-0", method: "POST", path: "/echo", body: []byte{}},
		{name: "post-1", method: "POST", path: "/echo", body: []byte("1")},
		{name: "post-100k", method: "POST", path: "/echo", body: large},
		{name: "post-chunked", method: "POST", path: "/echo", body: large, chunked: true},
		{name: "head", method: "HEAD", path: "/large"},
		{name: "large", path: "/large"},
		{name: "chunked", path: "/chunked"},
		{name: "trailers", path: "/trailers"},
		{name: "request-trailers", method: "POST", path: "/echo", body: []byte("abc"), chunked: true,
			trailers: http.Header{"X-Trailer": {"end"}}},
		{name: "hints", path: "/hints"},
		{name: "expect", method: "POST", path: "/echo", body: bytes.Repeat([]byte("e"), 1000),
			headers: map[string]string{"Expect": "100-continue"}},
		{name: "early", method: "POST", path: "/early", body: large},
		{name: "headers", path: "/headers", headers: headers},
		{name: "cookies", path: "/cookies", headers: map[string]string{"Cookie": "c=3; d=4"}},
	}
	for _, plan := range plans {
		seen, err := plan.run(client, url)
		if err != nil {
			seen = "error: " + err.Error()
		}
		fmt.Printf("%s\t%s\n", plan.name, seen)
	}
	good := 0
	for at := range 100 {
		path := fmt.Sprintf("/echo?n=%d", at)
		seen, err := plan{path: path}.run(client, url)
		if err == nil && strings.HasPrefix(seen, "status=200 ") && strings.Contains(seen, "x-path="+path+" ") {
			good++
		}
	}
	fmt.Printf("keep-alive\t%d\n", good)
	return nil
}

func main() {
	err := errors.New("server, or client VERSION URL")
	switch arguments := os.Args[1:]; {
	case len(arguments) == 1 && arguments[0] == "server":
		err = serve()
	case len(arguments) == 3 && arguments[0] == "client":
		err = exchange(arguments[1], arguments[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
