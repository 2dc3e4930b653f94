package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// remote is a running server, reached through its control socket.
type remote struct {
	store string
	http  *http.Client
}

// statusEnd is the last line of a status, and the body of an error.
type statusEnd struct {
	End   bool   `json:"end,omitempty"`
	Error string `json:"error,omitempty"`
}

// dialServer returns the server that has the store open, and whether there is
// one that answers.
func dialServer(ctx context.Context, store string) (*remote, bool) {
	path := filepath.Join(store, "control")
	if len(path) > maxSocketPath {
		short, err := os.ReadFile(filepath.Join(store, "control.path"))
		if err != nil {
			return nil, false
		}
		path = string(short)
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, false
	}
	conn.Close()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) }
	return &remote{store: store, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}, true
}

// call makes one call and hands the body of a good reply to fn.
func (r *remote) call(ctx context.Context, method, path string, fn func(io.Reader) error) error {
	return r.callFor(ctx, method, path, func(resp *http.Response) error { return fn(resp.Body) })
}

// callFor makes one call and hands a good reply to fn.
func (r *remote) callFor(ctx context.Context, method, path string, fn func(*http.Response) error) error {
	wrap := func(err error) error {
		return &fault{Op: "ask the server of", Path: r.store, Err: err, Hint: "its log may say more"}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, nil)
	if err != nil {
		return wrap(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return wrap(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e statusEnd
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&e) != nil || e.Error == "" {
			e.Error = resp.Status
		}
		return wrap(errors.New(e.Error))
	}
	if err := fn(resp); err != nil {
		return wrap(err)
	}
	return nil
}

func (r *remote) info(ctx context.Context) (info storeInfo, err error) {
	err = r.call(ctx, http.MethodGet, "/v1/info", func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&info)
	})
	return info, err
}

// list returns lines and snapshots.
func (r *remote) list(ctx context.Context) (list []lineInfo, err error) {
	err = r.call(ctx, http.MethodGet, "/v1/list", func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&list)
	})
	return list, err
}

// change asks for a change of lines and snapshots.
func (r *remote) change(ctx context.Context, v verb) (d done, err error) {
	q := url.Values{"name": {v.Name}, "fork": {v.Fork}, "from": {v.From}, "path": v.Paths}
	err = r.call(ctx, http.MethodPost, "/v1/"+v.Do+"?"+q.Encode(), func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&d)
	})
	return d, err
}

// status calls fn for every change of a line. A reply that ends early is an error.
func (r *remote) status(ctx context.Context, fork string, fn func(change) error) error {
	return r.call(ctx, http.MethodGet, "/v1/status?fork="+url.QueryEscape(fork), func(body io.Reader) error {
		sc := bufio.NewScanner(body)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			var line struct {
				change
				statusEnd
			}
			if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
				return err
			}
			switch {
			case line.Error != "":
				return errors.New(line.Error)
			case line.End:
				return nil
			}
			if err := fn(line.change); err != nil {
				return err
			}
		}
		if err := sc.Err(); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	})
}

// eachLine calls fn for each line of a reply that is one object a line, until one says that it is the
// last. One that says an error is not for fn to see.
func eachLine[T any](body io.Reader, fn func(T) error) error {
	for dec := json.NewDecoder(body); ; {
		var raw json.RawMessage
		var end statusEnd
		var line T
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err == nil {
			err = errors.Join(json.Unmarshal(raw, &end), json.Unmarshal(raw, &line))
		}
		if err == nil && end.Error != "" {
			err = errors.New(end.Error)
		}
		if err == nil {
			err = fn(line)
		}
		if err != nil || end.End {
			return err
		}
	}
}

// stop tells the server to end; it returns before it has.
func (r *remote) stop(ctx context.Context) error {
	return r.call(ctx, http.MethodPost, "/v1/stop", func(io.Reader) error { return nil })
}
