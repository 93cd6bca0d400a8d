// SPDX-License-Identifier: Apache-2.0

// Command gateway joins a cluster in a network namespace of its own to those who use it: it relays connections of a listening
// socket that was opened outside (so that the host's loopback reaches the API server) and answers DNS for the cluster's Services.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
)

func main() {
	descriptor := flag.Uint("listener", 3, "file descriptor of the listening socket that was opened outside the namespace")
	server := flag.String("api-server", "127.0.0.1:6443", "address of the API server in the namespace")
	address := flag.String("dns", "10.96.0.10:53", "address that DNS queries are answered at")
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig for watching Services and EndpointSlices")
	flag.Parse()

	listener, err := net.FileListener(os.NewFile(uintptr(*descriptor), "listener"))
	if err != nil {
		log.Fatalf("the listening socket: %v", err)
	}
	failed := make(chan error, 2)
	go func() { failed <- relay(listener, *server) }()
	go func() { failed <- serveNames(context.Background(), *kubeconfig, *address) }()
	log.Fatal(<-failed)
}
