package main

import (
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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

// serveMetrics answers at /metrics until l is closed.
func (s *server) serveMetrics(l net.Listener) error {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{storeMetrics{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
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
