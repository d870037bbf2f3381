// Copyright: (c) 2026, The meshops.istio authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

func encode64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// runJWKS serves /jwks and /token; the key lives in memory and as long as the process.
func runJWKS(args []string) error {
	flags := flagSet("jwks")
	listen := flags.String("listen", ":8080", "address")
	issuer := flags.String("issuer", "https://issuer.example.com", "the tokens' issuer")
	flags.Parse(args)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "probe",
			"n": encode64(key.N.Bytes()), "e": encode64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	// /token?sub=NAME&aud=AUDIENCE&ttl=DURATION; further parameters become claims.
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		ttl := 10 * time.Minute
		claims := map[string]any{"iss": *issuer, "sub": "probe", "iat": time.Now().Unix()}
		for name, values := range r.URL.Query() {
			if name != "ttl" {
				claims[name] = values[0]
			} else if given, err := time.ParseDuration(values[0]); err == nil {
				ttl = given
			}
		}
		claims["exp"] = time.Now().Add(ttl).Unix()
		head, _ := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": "probe"})
		body, _ := json.Marshal(claims)
		text := encode64(head) + "." + encode64(body)
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, text+"."+encode64(signature))
	})
	return newServer(*listen, mux).ListenAndServe()
}

// runAuthz answers Envoy's HTTP authorization check: 200 lets the request pass.
func runAuthz(args []string) error {
	flags := flagSet("authz")
	listen := flags.String("listen", ":8080", "address")
	flags.Parse(args)
	return newServer(*listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowed := r.Header.Get("X-Probe-Allow") == "yes" || r.URL.Path == "/health"
		printJSON(map[string]any{"path": r.URL.Path, "host": r.Host, "allowed": allowed})
		if !allowed {
			http.Error(w, "denied by probe authz", http.StatusForbidden)
		}
	})).ListenAndServe()
}

// field is one length-delimited field of a protobuf message; fields of other wire types are passed over.
type field struct {
	number uint64
	bytes  []byte
}

func fields(message []byte) []field {
	found := []field{}
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return found
		}
		message = message[size:]
		skip := 0
		switch tag & 7 {
		case 0:
			_, skip = binary.Uvarint(message)
		case 1:
			skip = 8
		case 5:
			skip = 4
		case 2:
			length, size := binary.Uvarint(message)
			if size <= 0 || length > uint64(len(message)-size) {
				return found
			}
			found = append(found, field{tag >> 3, message[size : size+int(length)]})
			skip = size + int(length)
		}
		if skip <= 0 || skip > len(message) {
			return found
		}
		message = message[skip:]
	}
	return found
}

// within gives every field with that number.
func within(message []byte, number uint64) [][]byte {
	found := [][]byte{}
	for _, f := range fields(message) {
		if f.number == number {
			found = append(found, f.bytes)
		}
	}
	return found
}

func text(message []byte, number uint64) string {
	return string(bytes.Join(within(message, number), nil))
}

// span is what the receiver keeps of a span.
type span struct {
	Service    string            `json:"service"`
	Name       string            `json:"name"`
	Trace      string            `json:"trace_id"`
	Span       string            `json:"span_id"`
	Parent     string            `json:"parent_span_id,omitempty"`
	Attributes map[string]string `json:"attributes"`
}

// attributes reads KeyValue fields that hold strings.
func attributes(message []byte, number uint64) map[string]string {
	found := map[string]string{}
	for _, pair := range within(message, number) {
		for _, value := range within(pair, 2) {
			if s := text(value, 1); s != "" {
				found[text(pair, 1)] = s
			}
		}
	}
	return found
}

// spans reads an ExportTraceServiceRequest.
func spans(message []byte) []span {
	found := []span{}
	for _, resource := range within(message, 1) {
		service := ""
		for _, about := range within(resource, 1) {
			service = attributes(about, 1)["service.name"]
		}
		for _, scope := range within(resource, 2) {
			for _, one := range within(scope, 2) {
				found = append(found, span{
					Service: service, Name: text(one, 5), Trace: hex.EncodeToString([]byte(text(one, 1))),
					Span: hex.EncodeToString([]byte(text(one, 2))), Parent: hex.EncodeToString([]byte(text(one, 4))),
					Attributes: attributes(one, 9),
				})
			}
		}
	}
	return found
}

// runOTLP takes traces on /v1/traces (HTTP) and over gRPC on the same port; /spans lists the last 1000.
func runOTLP(args []string) error {
	flags := flagSet("otlp")
	listen := flags.String("listen", ":4317", "address")
	flags.Parse(args)
	var lock sync.Mutex
	kept := []span{}
	keep := func(message []byte) {
		lock.Lock()
		defer lock.Unlock()
		for _, one := range spans(message) {
			printJSON(one)
			kept = append(kept, one)
		}
		kept = kept[max(0, len(kept)-1000):]
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/spans", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		json.NewEncoder(w).Encode(kept)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			message, err := readGRPC(r.Body)
			if err != nil {
				answerGRPC(w, nil, 3, err.Error())
				return
			}
			keep(message)
			answerGRPC(w, nil, 0, "")
			return
		}
		message, err := io.ReadAll(io.LimitReader(r.Body, longestCall))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		keep(message)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	return newServer(*listen, mux).ListenAndServe()
}
