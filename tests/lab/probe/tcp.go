// Copyright: (c) 2026, The meshops.istio authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

func runTCP(args []string) error {
	flags := flagSet("tcp")
	count := flags.Int("n", 1, "number of connections, one after the other")
	timeout := flags.Duration("timeout", 10*time.Second, "time that one connection may take")
	every := flags.Bool("latencies", false, "print each connection's latency, too")
	hold := flags.Duration("hold", 0, "keep each connection open for so long after it has said its line")
	flags.Parse(args)
	address, err := oneTarget(flags, "HOST:PORT")
	if err != nil {
		return err
	}
	total := newSummary()
	for i := range *count {
		began := time.Now()
		version, err := sayOverTCP(address, fmt.Sprintf("line %d", i), *timeout, *hold)
		result := outcome{status: 200, version: version, took: time.Since(began)}
		if err != nil {
			result = outcome{err: plainError(err), took: time.Since(began)}
		}
		total.add(result)
	}
	printJSON(total.finish().with(*every))
	return nil
}

// sayOverTCP sends a line and gives the version that sent it back; the connection is closed some time after that.
func sayOverTCP(address, line string, timeout, hold time.Duration) (string, error) {
	connection, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(timeout))
	if _, err := fmt.Fprintln(connection, line); err != nil {
		return "", err
	}
	back, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return "", err
	}
	version, said, _ := strings.Cut(strings.TrimSpace(back), " ")
	if said != line {
		return "", fmt.Errorf("sent %q, got %q", line, back)
	}
	time.Sleep(hold)
	return version, nil
}
