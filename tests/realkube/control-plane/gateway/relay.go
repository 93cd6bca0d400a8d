// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log"
	"net"
)

// relay joins each connection that the listener accepts to a new one to the target, until the listener fails.
func relay(listener net.Listener, target string) error {
	for {
		outside, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("the relay: %w", err)
		}
		go join(outside.(*net.TCPConn), target)
	}
}

// join copies both ways; the end of one way is passed on as such, so that long answers outlive the end of a request.
func join(outside *net.TCPConn, target string) {
	defer outside.Close()
	connection, err := net.Dial("tcp", target)
	if err != nil {
		log.Printf("the relay: %v", err)
		return
	}
	inside := connection.(*net.TCPConn)
	defer inside.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(inside, outside)
	}()
	pass(outside, inside)
	<-done
}

// pass copies until the source ends or one side breaks; a broken side ends both ways at once.
func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	if err := to.CloseWrite(); err != nil {
		from.Close()
	}
}
