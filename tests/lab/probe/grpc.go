// Copyright: (c) 2026, The meshops.istio authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// gRPC's unary calls are HTTP/2 requests with a five-byte head before the message and the result in a trailer.
const (
	grpcEcho    = "/probe.Echo/Say"
	grpcHealth  = "/grpc.health.v1.Health/Check"
	longestCall = 4 << 20
)

// grpcMessage frames a message; readGRPC takes the frame off again.
func grpcMessage(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func readGRPC(r io.Reader) ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || length > longestCall {
		return nil, fmt.Errorf("a message of %d bytes, compressed %d, can't be read", length, head[0])
	}
	message := make([]byte, length)
	_, err := io.ReadFull(r, message)
	return message, err
}

// textField is a protobuf message with a string in field 1.
func textField(text string) []byte {
	return append(binary.AppendUvarint([]byte{0x0a}, uint64(len(text))), text...)
}

// answerGRPC sends a message and the status OK, or no message and another status.
func answerGRPC(w http.ResponseWriter, message []byte, status int, text string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	w.WriteHeader(http.StatusOK)
	if status == 0 {
		w.Write(grpcMessage(message))
	}
	w.Header().Set("Grpc-Status", strconv.Itoa(status))
	w.Header().Set("Grpc-Message", text)
}

// grpcHandler serves probe.Echo/Say (a string in, the version and the string out) and health checks.
func grpcHandler(version string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		message, err := readGRPC(r.Body)
		switch {
		case err != nil:
			answerGRPC(w, nil, 3, err.Error())
		case r.URL.Path == grpcHealth:
			answerGRPC(w, []byte{0x08, 1}, 0, "")
		case r.URL.Path == grpcEcho:
			text := ""
			for _, field := range fields(message) {
				if field.number == 1 {
					text = string(field.bytes)
				}
			}
			w.Header().Set("X-Probe-Version", version)
			answerGRPC(w, textField(version+" "+text), 0, "")
		default:
			answerGRPC(w, nil, 12, "no method "+r.URL.Path)
		}
	})
}

func runGRPC(args []string) error {
	flags := flagSet("grpc")
	var t target
	t.flags(flags)
	count := flags.Int("n", 1, "number of calls")
	every := flags.Bool("latencies", false, "print each call's latency, too")
	flags.Parse(args)
	where, err := oneTarget(flags, "URL (http:// or https://, without a path)")
	if err != nil {
		return err
	}
	t.http2 = true
	client, err := t.client(false)
	if err != nil {
		return err
	}
	total := newSummary()
	for i := range *count {
		total.add(t.call(client, where, fmt.Sprintf("call %d", i)))
	}
	printJSON(total.finish().with(*every))
	return nil
}

// call is one call; its status is 200 where gRPC says OK, else the error holds gRPC's status.
func (t *target) call(client *http.Client, where, text string) outcome {
	request, err := http.NewRequest("POST", where+grpcEcho, bytes.NewReader(grpcMessage(textField(text))))
	if err != nil {
		return outcome{err: err.Error()}
	}
	request.Header = http.Header(t.header).Clone()
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	request.Host = t.host
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return outcome{err: plainError(err), took: time.Since(began)}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	took := time.Since(began)
	status := response.Trailer.Get("Grpc-Status")
	if status == "" {
		status = response.Header.Get("Grpc-Status") // an answer of trailers alone
	}
	if status != "0" {
		return outcome{err: fmt.Sprintf("HTTP %d, grpc-status %q", response.StatusCode, status), took: took}
	}
	if back, err := readGRPC(bytes.NewReader(body)); err != nil || !bytes.HasSuffix(back, []byte(" "+text)) {
		return outcome{err: fmt.Sprintf("sent %q, got %q", text, back), took: took}
	}
	return outcome{status: response.StatusCode, version: response.Header.Get("X-Probe-Version"), took: took}
}
