// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	zone       = ".svc.cluster.local."
	timeToLive = 5 // seconds
)

// names knows the Services of a cluster.
type names struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// serveNames answers DNS queries over UDP until the socket fails. Other names than Services' do not exist: nothing outside can be reached.
func serveNames(ctx context.Context, kubeconfig, address string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("the kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("the client: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	known := names{factory.Core().V1().Services().Lister(), factory.Discovery().V1().EndpointSlices().Lister()}
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("DNS: %w", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	buffer := make([]byte, 65535)
	for {
		size, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return fmt.Errorf("DNS: %w", err)
		}
		answer, err := known.answer(buffer[:size])
		if err != nil {
			log.Printf("DNS: a query of %s: %v", from, err)
			continue
		}
		if _, err := socket.WriteTo(answer, from); err != nil {
			log.Printf("DNS: an answer to %s: %v", from, err)
		}
	}
}

// answer makes the response to a query of one question.
func (n names) answer(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	addresses, exists := n.lookUp(strings.ToLower(question.Name.String()))
	response := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
		},
		Questions: []dnsmessage.Question{question},
	}
	if !exists {
		response.RCode = dnsmessage.RCodeNameError
	}
	if exists && question.Type == dnsmessage.TypeA {
		for _, address := range addresses {
			response.Answers = append(response.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: timeToLive},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
	}
	return response.Pack()
}

// lookUp returns the addresses of `service.namespace.svc.cluster.local.` and, for a headless Service, of `host.service.namespace…`.
func (n names) lookUp(name string) ([]netip.Addr, bool) {
	inZone, ours := strings.CutSuffix(name, zone)
	if !ours {
		return nil, false
	}
	parts := strings.Split(inZone, ".")
	host := ""
	if len(parts) == 3 {
		host, parts = parts[0], parts[1:]
	}
	if len(parts) != 2 {
		return nil, false
	}
	service, err := n.services.Services(parts[1]).Get(parts[0])
	if err != nil {
		return nil, false
	}
	if service.Spec.ClusterIP != core.ClusterIPNone {
		address, err := netip.ParseAddr(service.Spec.ClusterIP)
		return []netip.Addr{address}, err == nil && address.Is4() && host == ""
	}
	addresses := n.endpoints(service, host)
	return addresses, host == "" || len(addresses) > 0
}

// endpoints returns the ready addresses behind a headless Service; with a host, only that host's.
func (n names) endpoints(service *core.Service, host string) (found []netip.Addr) {
	selector := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service.Name})
	slices, err := n.slices.EndpointSlices(service.Namespace).List(selector)
	if err != nil {
		log.Printf("DNS: the endpoints of %s/%s: %v", service.Namespace, service.Name, err)
	}
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready || service.Spec.PublishNotReadyAddresses
			if !ready || (host != "" && (endpoint.Hostname == nil || *endpoint.Hostname != host)) {
				continue
			}
			for _, text := range endpoint.Addresses {
				if address, err := netip.ParseAddr(text); err == nil && address.Is4() {
					found = append(found, address)
				}
			}
		}
	}
	return found
}
