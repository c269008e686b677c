// An ADS server on go-control-plane, for tests: snapshots come in on standard input as lines of JSON, what clients
// ask and answer goes out on standard output as lines of JSON.
//
//	in:  {"node": "a", "version": "1", "clusters": [...], "endpoints": [...], "listeners": [...], "routes": [...]}
//	out: {"listening": "127.0.0.1:1234"}, then {"variant": "delta", "type": "...", "nonce": "1", "error": "..."}
//
// Resources are Envoy's JSON. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type snapshot struct {
	Node      string            `json:"node"`
	Version   string            `json:"version"`
	Clusters  []json.RawMessage `json:"clusters"`
	Endpoints []json.RawMessage `json:"endpoints"`
	Listeners []json.RawMessage `json:"listeners"`
	Routes    []json.RawMessage `json:"routes"`
}

type seen struct {
	Variant string `json:"variant"`
	Type    string `json:"type"`
	Node    string `json:"node,omitempty"`
	Version string `json:"version,omitempty"`
	Nonce   string `json:"nonce,omitempty"`
	Error   string `json:"error,omitempty"`
}

var out sync.Mutex

func say(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(line))
}

func observe(variant, kind string, node *corev3.Node, version, nonce string, detail *status.Status) {
	short := kind[strings.LastIndex(kind, ".")+1:]
	say(seen{variant, short, node.GetId(), version, nonce, detail.GetMessage()})
}

func parse[M proto.Message](texts []json.RawMessage, make func() M) ([]types.Resource, error) {
	var resources []types.Resource
	for _, text := range texts {
		message := make()
		if err := protojson.Unmarshal(text, message); err != nil {
			return nil, err
		}
		resources = append(resources, message)
	}
	return resources, nil
}

func take(line []byte, snapshots cache.SnapshotCache) error {
	var given snapshot
	if err := json.Unmarshal(line, &given); err != nil {
		return err
	}
	clusters, err := parse(given.Clusters, func() *clusterv3.Cluster { return &clusterv3.Cluster{} })
	if err != nil {
		return err
	}
	endpoints, err := parse(given.Endpoints, func() *endpointv3.ClusterLoadAssignment { return &endpointv3.ClusterLoadAssignment{} })
	if err != nil {
		return err
	}
	listeners, err := parse(given.Listeners, func() *listenerv3.Listener { return &listenerv3.Listener{} })
	if err != nil {
		return err
	}
	routes, err := parse(given.Routes, func() *routev3.RouteConfiguration { return &routev3.RouteConfiguration{} })
	if err != nil {
		return err
	}
	made, err := cache.NewSnapshot(given.Version, map[resource.Type][]types.Resource{
		resource.ClusterType:  clusters,
		resource.EndpointType: endpoints,
		resource.ListenerType: listeners,
		resource.RouteType:    routes,
	})
	if err != nil {
		return err
	}
	return snapshots.SetSnapshot(context.Background(), given.Node, made)
}

func main() {
	snapshots := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	callbacks := server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
			observe("sotw", r.GetTypeUrl(), r.GetNode(), r.GetVersionInfo(), r.GetResponseNonce(), r.GetErrorDetail())
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			observe("delta", r.GetTypeUrl(), r.GetNode(), "", r.GetResponseNonce(), r.GetErrorDetail())
			return nil
		},
	}
	serving := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(serving, server.NewServer(context.Background(), snapshots, callbacks))
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		if err := serving.Serve(socket); err != nil {
			panic(err)
		}
	}()
	say(map[string]string{"listening": socket.Addr().String()})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if err := take(lines.Bytes(), snapshots); err != nil {
			say(map[string]string{"wrong": err.Error()})
			os.Exit(1)
		}
	}
}
