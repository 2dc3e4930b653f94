package main

import (
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"deltafs/nfsserver/rpc"
)

// storeMetrics collects what there is to know of the stores of a server. What
// it asks costs little.
type storeMetrics struct{ s *server }

func storeDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("deltafs_store_"+name, help, []string{"export", "store"}, nil)
}

var (
	descUsed      = storeDesc("used_bytes", "Bytes of changes that are live.")
	descLimit     = storeDesc("limit_bytes", "Bytes of changes that the store may hold.")
	descDisk      = storeDesc("disk_bytes", "Bytes that the files of the store take.")
	descDead      = storeDesc("dead_bytes", "Bytes of the log that cleaning would give back.")
	descThreshold = storeDesc("threshold", "Threshold that is reached: 0 none, 1 --warn, 2 --critical.")
	descLog       = storeDesc("log_bytes_total", "Bytes appended to the log, ever.")
	descCopied    = storeDesc("cleaner_copied_bytes_total", "Bytes that the cleaner has copied since the server was started.")
	descIndex     = storeDesc("index_bytes_total", "Bytes written to the index since the server was started.")
	descSyncs     = storeDesc("syncs_total", "Syncs of segments of the log for those who wait, since the server was started.")
	descReadOnly  = storeDesc("read_only", "1 if the store takes no changes.")
)

// Describe implements prometheus.Collector.
func (m storeMetrics) Describe(c chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, c) }

// Collect implements prometheus.Collector.
func (m storeMetrics) Collect(c chan<- prometheus.Metric) {
	for _, e := range m.s.exports {
		send := func(d *prometheus.Desc, t prometheus.ValueType, v float64) {
			c <- prometheus.MustNewConstMetric(d, t, v, e.Name, e.Store)
		}
		u, err := e.store.Usage()
		if err != nil {
			c <- prometheus.NewInvalidMetric(descUsed, err)
			continue
		}
		send(descUsed, prometheus.GaugeValue, float64(u.Used))
		send(descLimit, prometheus.GaugeValue, float64(u.Limit))
		send(descDisk, prometheus.GaugeValue, float64(u.Disk))
		send(descDead, prometheus.GaugeValue, float64(u.Dead))
		send(descThreshold, prometheus.GaugeValue, float64(e.level.Load()))
		send(descLog, prometheus.CounterValue, float64(u.Appended))
		send(descCopied, prometheus.CounterValue, float64(u.Copied))
		send(descIndex, prometheus.CounterValue, float64(u.Index))
		send(descSyncs, prometheus.CounterValue, float64(u.Syncs))
		readOnly := 0.0
		if u.ReadOnly {
			readOnly = 1
		}
		send(descReadOnly, prometheus.GaugeValue, readOnly)
	}
}

// rpcMetrics collects what the engine has done. That of go-nfs does not count.
type rpcMetrics struct{ stats func() rpc.Stats }

func rpcDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("deltafs_rpc_"+name, help, nil, nil)
}

var (
	descConns   = rpcDesc("connections", "Connections of clients that are open.")
	descInCalls = rpcDesc("calls_in_flight", "Calls that wait, or are carried out beside the reading of their connection.")
	descCalls   = rpcDesc("calls_total", "Calls taken since the server was started.")
	descSent    = rpcDesc("sent_bytes_total", "Bytes of replies.")
	descWrites  = rpcDesc("writes_total", "Writes of replies to connections, each of all that are ready.")
	descRefused = rpcDesc("refused_connections_total", "Connections closed since there were too many.")
	descHanded  = rpcDesc("handed_over_total", "Calls, or the reading of a connection, that went to another goroutine.")
)

// Describe implements prometheus.Collector.
func (m rpcMetrics) Describe(c chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, c) }

// Collect implements prometheus.Collector.
func (m rpcMetrics) Collect(c chan<- prometheus.Metric) {
	t := m.stats()
	for d, v := range map[*prometheus.Desc]int{descConns: t.Conns, descInCalls: t.InCalls} {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	for d, v := range map[*prometheus.Desc]int64{
		descCalls: t.Calls, descSent: t.Sent, descWrites: t.Writes, descRefused: t.Refused, descHanded: t.Handed,
	} {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
}

// serveMetrics answers at /metrics until l is closed.
func (s *server) serveMetrics(l net.Listener) error {
	r := prometheus.NewRegistry()
	all := []prometheus.Collector{storeMetrics{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
	if e, counts := s.nfs.(interface{ Stats() rpc.Stats }); counts {
		all = append(all, rpcMetrics{e.Stats})
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }() // ends when l is closed
	return nil
}
