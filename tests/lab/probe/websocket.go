// Copyright: (c) 2026, The meshops.istio authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// RFC 6455, as much of it as two probes need of each other: unfragmented text and close frames.
const (
	webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	opText        = 1
	opClose       = 8
	longestFrame  = 1 << 20
)

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + webSocketGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// writeFrame sends one frame; a client's frames are masked.
func writeFrame(w io.Writer, op byte, text []byte, masked bool) error {
	frame := []byte{0x80 | op}
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	switch {
	case len(text) < 126:
		frame = append(frame, bit|byte(len(text)))
	case len(text) < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, bit|126), uint16(len(text)))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, bit|127), uint64(len(text)))
	}
	body := bytes.Clone(text)
	if masked {
		mask := make([]byte, 4)
		rand.Read(mask)
		frame = append(frame, mask...)
		for i := range body {
			body[i] ^= mask[i%4]
		}
	}
	_, err := w.Write(append(frame, body...))
	return err
}

// readFrame gives the operation and the unmasked text of the next frame.
func readFrame(r *bufio.Reader) (byte, []byte, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1] & 0x7f)
	if length >= 126 {
		size := make([]byte, map[uint64]int{126: 2, 127: 8}[length])
		if _, err := io.ReadFull(r, size); err != nil {
			return 0, nil, err
		}
		length = 0
		for _, b := range size {
			length = length<<8 | uint64(b)
		}
	}
	if length > longestFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes is too long", length)
	}
	mask := make([]byte, 4)
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask); err != nil {
			return 0, nil, err
		}
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return 0, nil, err
	}
	for i := range text {
		text[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, text, nil
}

// echoWebSocket answers each text with the version and the text.
func echoWebSocket(w http.ResponseWriter, r *http.Request, version string) {
	key := r.Header.Get("Sec-WebSocket-Key")
	hijacker, able := w.(http.Hijacker)
	if key == "" || !able {
		http.Error(w, "wants a WebSocket handshake over HTTP/1.1", http.StatusUpgradeRequired)
		return
	}
	connection, stream, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", acceptKey(key))
	for {
		op, text, err := readFrame(stream.Reader)
		if err != nil {
			return
		}
		if op == opClose {
			writeFrame(connection, opClose, text, false)
			return
		}
		if writeFrame(connection, opText, append([]byte(version+" "), text...), false) != nil {
			return
		}
	}
}

func runWebSocket(args []string) error {
	flags := flagSet("websocket")
	var t target
	t.flags(flags)
	count := flags.Int("n", 1, "number of messages")
	flags.Parse(args)
	var err error
	if t.url, err = oneTarget(flags, "URL (ws:// or wss://)"); err != nil {
		return err
	}
	connection, stream, err := t.openWebSocket()
	total := newSummary()
	if err != nil {
		total.add(outcome{err: plainError(err)})
		printJSON(total.finish())
		return nil
	}
	defer connection.Close()
	for i := range *count {
		message := fmt.Sprintf("message %d", i)
		connection.SetDeadline(time.Now().Add(t.timeout))
		began := time.Now()
		err := writeFrame(connection, opText, []byte(message), true)
		var text []byte
		if err == nil {
			_, text, err = readFrame(stream)
		}
		version, said, _ := bytes.Cut(text, []byte(" "))
		switch {
		case err != nil:
			total.add(outcome{err: plainError(err), took: time.Since(began)})
		case string(said) != message:
			total.add(outcome{err: fmt.Sprintf("sent %q, got %q", message, text), took: time.Since(began)})
		default:
			total.add(outcome{status: http.StatusSwitchingProtocols, version: string(version), took: time.Since(began)})
		}
	}
	writeFrame(connection, opClose, nil, true)
	printJSON(total.finish())
	return nil
}

// openWebSocket connects and shakes hands.
func (t *target) openWebSocket() (net.Conn, *bufio.Reader, error) {
	where, err := url.Parse(t.url)
	if err != nil {
		return nil, nil, err
	}
	port, secure := "80", where.Scheme == "wss"
	if secure {
		port = "443"
	}
	if where.Port() != "" {
		port = where.Port()
	}
	address := net.JoinHostPort(where.Hostname(), port)
	if t.address != "" {
		address = t.address
	}
	connection, err := net.DialTimeout("tcp", address, t.timeout)
	if err != nil {
		return nil, nil, err
	}
	if secure {
		name := t.serverName
		if name == "" {
			name = where.Hostname()
		}
		client, err := t.client(true)
		if err != nil {
			return nil, nil, err
		}
		config := client.Transport.(*http.Transport).TLSClientConfig.Clone()
		config.ServerName, config.NextProtos = name, []string{"http/1.1"}
		connection = tls.Client(connection, config)
	}
	connection.SetDeadline(time.Now().Add(t.timeout))
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	host := t.host
	if host == "" {
		host = where.Host
	}
	header := http.Header(t.header).Clone()
	header.Set("Upgrade", "websocket")
	header.Set("Connection", "Upgrade")
	header.Set("Sec-WebSocket-Version", "13")
	header.Set("Sec-WebSocket-Key", key)
	var request bytes.Buffer
	fmt.Fprintf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\n", where.RequestURI(), host)
	header.Write(&request)
	request.WriteString("\r\n")
	if _, err := connection.Write(request.Bytes()); err != nil {
		return nil, nil, err
	}
	stream := bufio.NewReader(connection)
	response, err := http.ReadResponse(stream, nil)
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != acceptKey(key) {
		return nil, nil, fmt.Errorf("no WebSocket: %s", response.Status)
	}
	return connection, stream, nil
}
