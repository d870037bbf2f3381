// Copyright: (c) 2026, The meshops.istio authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// headerFlag collects -header "name: value", given any number of times.
type headerFlag http.Header

func (h headerFlag) String() string { return "" }

func (h headerFlag) Set(text string) error {
	name, value, found := strings.Cut(text, ":")
	if !found {
		return fmt.Errorf("wants \"name: value\"")
	}
	http.Header(h).Add(strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}

// target says what to ask, and how.
type target struct {
	url, method, host, address, serverName string
	ca, cert, key                          string
	insecure                               bool
	http2                                  bool
	timeout                                time.Duration
	header                                 headerFlag
}

func (t *target) flags(flags *flag.FlagSet) {
	t.header = headerFlag{}
	flags.StringVar(&t.method, "method", "GET", "request method")
	flags.StringVar(&t.host, "host", "", "Host header, where it is not the URL's")
	flags.StringVar(&t.address, "connect-to", "", "connect to this HOST:PORT, whatever the URL says")
	flags.StringVar(&t.serverName, "server-name", "", "TLS server name (SNI), where it is not the URL's host")
	flags.StringVar(&t.ca, "cacert", "", "file with the roots to trust")
	flags.StringVar(&t.cert, "cert", "", "client certificate file")
	flags.StringVar(&t.key, "key", "", "client key file")
	flags.BoolVar(&t.insecure, "insecure", false, "accept any server certificate")
	flags.BoolVar(&t.http2, "http2", false, "speak HTTP/2, also without TLS")
	flags.DurationVar(&t.timeout, "timeout", 10*time.Second, "time that one request may take")
	flags.Var(t.header, "header", "request header \"name: value\"; may be repeated")
}

// client gives an HTTP client; fresh ones open a connection for each request. Redirects are not followed.
func (t *target) client(fresh bool) (*http.Client, error) {
	config := &tls.Config{InsecureSkipVerify: t.insecure, ServerName: t.serverName}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", t.ca)
		}
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!t.http2)
	protocols.SetHTTP2(t.http2)
	protocols.SetUnencryptedHTTP2(t.http2)
	dialer := net.Dialer{Timeout: t.timeout}
	transport := &http.Transport{
		TLSClientConfig: config, Protocols: protocols, DisableKeepAlives: fresh, MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if t.address != "" {
				address = t.address
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	return &http.Client{
		Transport: transport, Timeout: t.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// outcome is what became of one request.
type outcome struct {
	status  int // 0 where there was no answer
	version string
	err     string
	took    time.Duration
	header  http.Header
	body    []byte
}

func (t *target) ask(client *http.Client) outcome {
	request, err := http.NewRequest(t.method, t.url, nil)
	if err != nil {
		return outcome{err: err.Error()}
	}
	request.Header = http.Header(t.header).Clone()
	request.Host = t.host
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return outcome{err: plainError(err), took: time.Since(began)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	result := outcome{
		status: response.StatusCode, version: response.Header.Get("X-Probe-Version"),
		took: time.Since(began), header: response.Header, body: body,
	}
	if err != nil {
		result.status, result.err = 0, plainError(err)
	}
	return result
}

// plainError leaves out what differs between two equal failures: the ports of a connection.
func plainError(err error) string {
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Err != nil {
		return operation.Op + ": " + operation.Err.Error()
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

// latency is in milliseconds.
type latency struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// summary counts outcomes; every request is in statuses or in errors.
type summary struct {
	Requests  int            `json:"requests"`
	Statuses  map[string]int `json:"statuses"`
	Versions  map[string]int `json:"versions"`
	Errors    map[string]int `json:"errors"`
	Latency   latency        `json:"latency_ms"`
	Latencies []float64      `json:"latencies_ms,omitempty"`
	First     any            `json:"first,omitempty"`

	lock  sync.Mutex
	times []float64
}

func newSummary() *summary {
	return &summary{Statuses: map[string]int{}, Versions: map[string]int{}, Errors: map[string]int{}}
}

func (s *summary) add(result outcome) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.Requests++
	s.times = append(s.times, float64(result.took.Microseconds())/1000)
	if result.status == 0 {
		s.Errors[result.err]++
		return
	}
	s.Statuses[strconv.Itoa(result.status)]++
	if result.version != "" {
		s.Versions[result.version]++
	}
}

// finish works out the latencies.
func (s *summary) finish() *summary {
	s.lock.Lock()
	defer s.lock.Unlock()
	if len(s.times) == 0 {
		return s
	}
	slices.Sort(s.times)
	total := 0.0
	for _, took := range s.times {
		total += took
	}
	at := func(share float64) float64 {
		return s.times[max(0, int(math.Ceil(share*float64(len(s.times))))-1)]
	}
	s.Latency = latency{
		Min: s.times[0], Mean: math.Round(total/float64(len(s.times))*1000) / 1000,
		P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: s.times[len(s.times)-1],
	}
	return s
}

// with adds each latency, where that is asked for.
func (s *summary) with(latencies bool) *summary {
	if latencies {
		s.Latencies = s.times
	}
	return s
}

// firstAnswer is the answer as a test wants to look at it: the body decoded where it is JSON.
func firstAnswer(result outcome) any {
	var body any
	if json.Unmarshal(result.body, &body) != nil {
		body = string(result.body)
	}
	headers := map[string]string{}
	for name, values := range result.header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return map[string]any{"status": result.status, "error": result.err, "headers": headers, "body": body}
}

func runGet(args []string) error {
	flags := flagSet("get")
	var t target
	t.flags(flags)
	count := flags.Int("n", 1, "number of requests")
	parallel := flags.Int("c", 1, "requests under way at once")
	fresh := flags.Bool("new-connections", false, "open a connection for each request")
	every := flags.Bool("latencies", false, "print each request's latency, too")
	flags.Parse(args)
	var err error
	if t.url, err = oneTarget(flags, "URL"); err != nil {
		return err
	}
	client, err := t.client(*fresh)
	if err != nil {
		return err
	}
	total := newSummary()
	left := make(chan int, *count)
	for i := range *count {
		left <- i
	}
	close(left)
	var workers sync.WaitGroup
	for range *parallel {
		workers.Go(func() {
			for i := range left {
				result := t.ask(client)
				total.add(result)
				if i == 0 {
					total.lock.Lock()
					total.First = firstAnswer(result)
					total.lock.Unlock()
				}
			}
		})
	}
	workers.Wait()
	printJSON(total.finish().with(*every))
	return nil
}

// failure is printed for each request that failed under load.
type failure struct {
	Time       string  `json:"time"`
	Connection string  `json:"connection"`
	Status     int     `json:"status"`
	Error      string  `json:"error,omitempty"`
	Body       string  `json:"body,omitempty"`
	TookMS     float64 `json:"took_ms"`
}

func runLoad(args []string) error {
	flags := flagSet("load")
	var t target
	t.flags(flags)
	rate := flags.Float64("rate", 20, "requests a second, half over kept-alive and half over new connections")
	duration := flags.Duration("duration", 0, "how long; 0 is until SIGTERM or SIGINT")
	expect := flags.Int("expect", 200, "the status that is a success")
	flags.Parse(args)
	var err error
	if t.url, err = oneTarget(flags, "URL"); err != nil {
		return err
	}
	if *rate <= 0 {
		return fmt.Errorf("-rate must be more than 0, got %g", *rate)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if *duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, *duration)
		defer cancel()
	}
	names := []string{"kept", "new"}
	clients, totals := map[string]*http.Client{}, map[string]*summary{}
	for _, name := range names {
		if clients[name], err = t.client(name == "new"); err != nil {
			return err
		}
		totals[name] = newSummary()
	}
	var printing sync.Mutex
	failed := 0
	began := time.Now()
	ticks := time.NewTicker(time.Duration(float64(time.Second) / *rate))
	defer ticks.Stop()
	var under sync.WaitGroup
	for i := 0; ctx.Err() == nil; i++ {
		name := names[i%2]
		under.Go(func() {
			sent := time.Now()
			result := t.ask(clients[name])
			totals[name].add(result)
			if result.status == *expect {
				return
			}
			printing.Lock()
			defer printing.Unlock()
			failed++
			printJSON(failure{
				Time: sent.UTC().Format(time.RFC3339Nano), Connection: name, Status: result.status, Error: result.err,
				Body: string(result.body[:min(len(result.body), 200)]), TookMS: float64(result.took.Microseconds()) / 1000,
			})
		})
		select {
		case <-ticks.C:
		case <-ctx.Done():
		}
	}
	under.Wait()
	requests := 0
	for _, total := range totals {
		requests += total.finish().Requests
	}
	printJSON(map[string]any{
		"summary": totals, "requests": requests, "failed": failed, "seconds": math.Round(time.Since(began).Seconds()*10) / 10,
	})
	return nil
}
