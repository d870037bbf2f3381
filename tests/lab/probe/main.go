// Copyright: (c) 2026, The meshops.istio authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

// Probe is both ends of a conversation that a test or a demo has through a mesh: servers that say
// what reached them, and clients that say what came back. It needs nothing but Go's standard library.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"syscall"
)

// A mode parses its own flags from args and runs until it is done.
type mode struct {
	about string
	run   func(args []string) error
}

var modes = map[string]mode{
	"authz":     {"external authorization server: lets requests with x-probe-allow: yes pass", runAuthz},
	"echo":      {"server: says what reached it, over HTTP, WebSocket, gRPC, TCP and TLS", runEcho},
	"get":       {"client: sends requests, prints a JSON summary", runGet},
	"grpc":      {"client: sends gRPC requests, prints a JSON summary", runGRPC},
	"jwks":      {"server: serves a key set and issues tokens that it verifies", runJWKS},
	"load":      {"client: steady rate over kept-alive and new connections, prints every failure", runLoad},
	"otlp":      {"server: receives traces over OTLP (HTTP and gRPC), prints a line a span", runOTLP},
	"tcp":       {"client: sends a line a connection to a TCP echo, prints a JSON summary", runTCP},
	"wait":      {"does nothing until SIGTERM, so that the other modes can be run beside it", runWait},
	"websocket": {"client: sends messages over one WebSocket, prints a JSON summary", runWebSocket},
}

func main() {
	if len(os.Args) < 2 || modes[os.Args[1]].run == nil {
		fmt.Fprintln(os.Stderr, "usage: probe MODE [flags]; probe MODE -h lists a mode's flags")
		names := []string{}
		for name := range modes {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintf(os.Stderr, "  %-10s %s\n", name, modes[name].about)
		}
		os.Exit(2)
	}
	if err := modes[os.Args[1]].run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// flagSet is a flag set that ends the program with a usage message on a wrong flag.
func flagSet(name string) *flag.FlagSet {
	return flag.NewFlagSet("probe "+name, flag.ExitOnError)
}

// oneTarget gives the single argument that is left after the flags.
func oneTarget(flags *flag.FlagSet, what string) (string, error) {
	if flags.NArg() != 1 {
		return "", fmt.Errorf("wants one %s after the flags, got %q", what, flags.Args())
	}
	return flags.Arg(0), nil
}

// printJSON writes a value as one line.
func printJSON(value any) {
	json.NewEncoder(os.Stdout).Encode(value)
}

func runWait(args []string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	return nil
}
