// Copyright: (c) 2026, The meshops.istio authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// answer is what the echo server says about a request.
type answer struct {
	Version  string            `json:"version"`
	Pod      string            `json:"pod"`
	Method   string            `json:"method"`
	Host     string            `json:"host"`
	Path     string            `json:"path"`
	Protocol string            `json:"protocol"`
	TLS      bool              `json:"tls"`
	Client   string            `json:"client_certificate"` // X-Forwarded-Client-Cert
	Headers  map[string]string `json:"headers"`
}

func runEcho(args []string) error {
	flags := flagSet("echo")
	version := flags.String("version", os.Getenv("VERSION"), "version to answer with")
	plain := flags.String("http", ":8080", "HTTP/1, HTTP/2 and WebSocket address")
	grpc := flags.String("grpc", ":8081", "gRPC address")
	tcp := flags.String("tcp", ":9000", "TCP echo address")
	secure := flags.String("https", "", "HTTPS address; wants -cert and -key")
	cert := flags.String("cert", "", "certificate file for -https")
	key := flags.String("key", "", "key file for -https")
	drain := flags.Duration("drain", 5*time.Second, "keep serving this long after SIGTERM")
	flags.Parse(args)

	failed := make(chan error, 4)
	servers := []*http.Server{
		newServer(*plain, echoHandler(*version)),
		newServer(*grpc, grpcHandler(*version)),
	}
	for _, server := range servers {
		go func() { failed <- server.ListenAndServe() }()
	}
	if *secure != "" {
		server := newServer(*secure, echoHandler(*version))
		servers = append(servers, server)
		go func() { failed <- server.ListenAndServeTLS(*cert, *key) }()
	}
	listener, err := net.Listen("tcp", *tcp)
	if err != nil {
		return err
	}
	go func() { failed <- echoTCP(listener, *version) }()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case err := <-failed:
		return err
	case <-stop:
	}
	time.Sleep(*drain)
	patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, server := range servers {
		server.Shutdown(patience)
	}
	return nil
}

// newServer is a server for HTTP/1 and for HTTP/2 with or without TLS.
func newServer(address string, handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Addr: address, Handler: handler, Protocols: protocols}
}

// echoHandler answers every path; /health, /status/CODE, /delay/DURATION and /websocket do what they say.
func echoHandler(version string) http.Handler {
	pod, _ := os.Hostname()
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/websocket", func(w http.ResponseWriter, r *http.Request) { echoWebSocket(w, r, version) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		if code, found := strings.CutPrefix(r.URL.Path, "/status/"); found {
			if given, err := strconv.Atoi(code); err == nil && given >= 200 && given < 600 {
				status = given
			}
		}
		if pause, found := strings.CutPrefix(r.URL.Path, "/delay/"); found {
			if given, err := time.ParseDuration(pause); err == nil {
				time.Sleep(given)
			}
		}
		io.Copy(io.Discard, r.Body)
		said := answer{
			Version: version, Pod: pod, Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(),
			Protocol: r.Proto, TLS: r.TLS != nil, Client: r.Header.Get("X-Forwarded-Client-Cert"),
			Headers: map[string]string{},
		}
		for name, values := range r.Header {
			said.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Probe-Version", version)
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(said)
	})
	return mux
}

// echoTCP answers each line with the version and the line.
func echoTCP(listener net.Listener, version string) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			lines := bufio.NewScanner(connection)
			for lines.Scan() {
				if _, err := fmt.Fprintf(connection, "%s %s\n", version, lines.Text()); err != nil {
					return
				}
			}
		}()
	}
}
