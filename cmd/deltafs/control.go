package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"deltafs/billyfs"
)

// The control socket is a Unix socket in the store, STORE/control, that speaks
// HTTP: other commands ask a running server through it. Who can open the
// socket (mode 0600) is the user who runs the server, or root.
//
//	GET  /v1/info    the summary that "info --json" prints
//	GET  /v1/status?fork=LINE
//	                 one change a line, as "status --json" prints them; the
//	                 last line is {"end":true}, or {"error":"..."}
//	POST /v1/clean?dead=FRACTION
//	                 cleans; one line of progress for each segment that is freed,
//	                 the last with "end":true, or with "error"
//	GET  /v1/diff?fork=LINE&ignore=PATTERN
//	                 the patch that "diff" prints; the trailer Deltafs-End is "ok",
//	                 or why it ends early
//	GET  /v1/export?form=tar|oci|tree&fork=LINE&ignore=PATTERN
//	                 an archive, as "export" writes it; ended as a patch is, and
//	                 with the trailer Deltafs-Exported, {"files":N,"bytes":N,...}
//	GET  /v1/top?fork=LINE&n=N
//	                 the largest files of the delta, as "top --json" prints them
//	GET  /v1/list    lines and snapshots, as "list --json" prints them
//	POST /v1/snapshot?name=NAME&fork=LINE
//	POST /v1/rollback?name=SNAPSHOT&fork=LINE
//	POST /v1/fork?name=NAME&from=SNAPSHOT&fork=LINE
//	POST /v1/accept?name=NAME&fork=LINE
//	POST /v1/drop?name=NAME
//	POST /v1/flatten?fork=LINE
//	POST /v1/discard?fork=LINE
//	                 as the commands of these names; fork is main if it is left
//	                 out, from the line as it is. A rollback answers {"saved": NAME},
//	                 flatten {"dropped": [NAME...]}, a discard {"changes": N}
//	POST /v1/stop    ends the server as SIGTERM does
//
// Errors are a status code and {"error": "..."}.

// maxSocketPath is the longest path that every system takes for a socket.
// Sockets of stores with longer paths lie in a short directory of the user's,
// and the file STORE/control.path says where.
const maxSocketPath = 100

// control is the socket of a running server.
type control struct {
	ln      net.Listener
	srv     *http.Server
	pointer string // STORE/control.path, or ""
	log     *slog.Logger
}

// listenControl opens the socket of the store in dir, which this process must
// have locked: what is there already was left behind by a dead server.
func listenControl(dir string, h http.Handler, log *slog.Logger) (*control, error) {
	c := &control{log: log, srv: &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}}
	path := filepath.Join(dir, "control")
	wrap := func(err error) error {
		return &fault{Op: "listen", Path: path, Err: reason(err)}
	}
	pointer := filepath.Join(dir, "control.path")
	if err := os.Remove(pointer); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, wrap(bare(err))
	}
	if len(path) > maxSocketPath {
		short, err := shortSocket(path)
		if err != nil {
			return nil, wrap(err)
		}
		if err := os.WriteFile(pointer, []byte(short), 0o600); err != nil {
			return nil, wrap(bare(err))
		}
		c.pointer, path = pointer, short
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, wrap(bare(err))
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, wrap(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, wrap(bare(err))
	}
	c.ln = ln
	return c, nil
}

// shortSocket returns a short path for the socket whose own path is too long.
// Its directory must be the user's alone: another one could answer there.
func shortSocket(path string) (string, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" || len(dir) > maxSocketPath-40 {
		dir = os.TempDir()
	}
	sum := sha256.Sum256([]byte(path))
	made, err := os.MkdirTemp(dir, "deltafs-"+hex.EncodeToString(sum[:4])+"-")
	if err != nil {
		return "", bare(err)
	}
	return filepath.Join(made, "control"), nil
}

// start begins to answer.
func (c *control) start() {
	go func() {
		if err := c.srv.Serve(c.ln); !errors.Is(err, http.ErrServerClosed) {
			c.log.Warn("control socket failed", "err", err)
		}
	}()
}

// close lets calls in flight finish, for a while, and removes the socket.
func (c *control) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.srv.Shutdown(ctx) // a call that takes longer is cut off
	_ = c.srv.Close()
	_ = c.ln.Close() // the server closes it too, once it has been started
	if c.pointer == "" {
		return nil
	}
	_ = os.Remove(filepath.Dir(c.ln.Addr().String()))
	if err := os.Remove(c.pointer); err != nil {
		return &fault{Op: "remove", Path: c.pointer, Err: bare(err)}
	}
	return nil
}

// routes are the calls of the control socket of an export.
func (s *server) routes(e *export) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/info", func(w http.ResponseWriter, _ *http.Request) { s.handleInfo(w, e) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { handleStatus(w, r, e) })
	mux.HandleFunc("GET /v1/diff", func(w http.ResponseWriter, r *http.Request) { handleDiff(w, r, e) })
	mux.HandleFunc("GET /v1/export", func(w http.ResponseWriter, r *http.Request) { handleExport(w, r, e) })
	mux.HandleFunc("GET /v1/top", func(w http.ResponseWriter, r *http.Request) { handleTop(w, r, e) })
	mux.HandleFunc("GET /v1/list", func(w http.ResponseWriter, _ *http.Request) { reply(w, listLines(e.store)) })
	for _, do := range verbs {
		mux.HandleFunc("POST /v1/"+do, func(w http.ResponseWriter, r *http.Request) { handleVerb(w, r, e, do) })
	}
	mux.HandleFunc("POST /v1/commit", func(w http.ResponseWriter, r *http.Request) { handleCommit(w, r, e) })
	mux.HandleFunc("POST /v1/clean", func(w http.ResponseWriter, r *http.Request) { handleClean(w, r, e) })
	mux.HandleFunc("POST /v1/stop", s.handleStop)
	return mux
}

func (s *server) handleInfo(w http.ResponseWriter, e *export) {
	info, err := e.store.Info()
	if err != nil {
		replyError(w, err)
		return
	}
	r := summary(e.Store, info)
	r.Running, r.PID, r.Addr = true, os.Getpid(), s.ln.Addr().String()
	r.Limit, r.Started = e.Limit, s.started.UTC().Format(time.RFC3339)
	reply(w, r)
}

// handleVerb changes lines and snapshots.
func handleVerb(w http.ResponseWriter, r *http.Request, e *export, do string) {
	q := r.URL.Query()
	d, err := e.lines.change(verb{Do: do, Name: q.Get("name"), Fork: q.Get("fork"), From: q.Get("from"), Paths: q["path"]})
	if err != nil {
		replyError(w, err)
		return
	}
	reply(w, d)
}

func handleStatus(w http.ResponseWriter, r *http.Request, e *export) {
	t, err := e.lines.tree(r.URL.Query().Get("fork"))
	if err != nil {
		replyError(w, err)
		return
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	err = t.Status(func(c billyfs.StatusEntry) error { return enc.Encode(changeOf(c)) })
	end := statusEnd{End: err == nil}
	if err != nil {
		end.Error = err.Error()
	}
	_ = enc.Encode(end) // a client that has gone away notices the missing end
}

func (s *server) handleStop(w http.ResponseWriter, _ *http.Request) {
	s.cfg.Log.Info("told to stop through the control socket")
	reply(w, struct{}{})
	s.stop()
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone away
}

func replyError(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	_ = json.NewEncoder(w).Encode(statusEnd{Error: err.Error()})
}
