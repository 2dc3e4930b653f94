package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"deltafs/billyfs"
	"deltafs/billyfs/rootfs"
	"deltafs/deltalog"
)

const commitLong = `Apply the changes to the base: all of them, or those at and below some paths. The
base then is what the merged tree was, with contents, names, hard links, modes, owners and
times, and the delta is empty as far as it was committed. On a running server clients go
on meanwhile, and see no difference; what they change stays in the delta.

Nothing is done if the base was changed by somebody else where it would be written to: those
paths are named. --on-conflict skip leaves them in the delta and commits the others; delta
lets the delta win where nothing of the changed file shows through; base gives the changes
of such paths up. See also accept-base and export.

Snapshots and forks see through to the base, and so do other stores over the same base: a
commit is refused while there are any. Automatic snapshots are dropped.

A commit that is interrupted, by a crash or a full disk, has not lost anything: it goes
on when the server starts, or with the next commit. Until then nothing can be discarded
or rolled back.`

// commitRequest is a commit as a command line or a call of the control socket asks for it.
type commitRequest struct {
	paths, ignore              []string
	onConflict                 string
	dropSnapshots, breakOthers bool
	dryRun                     bool
	kind                       bool // clients go on meanwhile
}

// commitLine is what "commit --json" and the control socket give: lines of progress, or of a dry run, and
// one with end.
type commitLine struct {
	Progress *billyfs.CommitProgress `json:"progress,omitempty"`
	Would    *change                 `json:"would,omitempty"` // dry run: a path that would be committed
	*Committed
	Conflicts []billyfs.Conflict `json:"conflicts,omitempty"` // with an error, or at the end
	statusEnd
}

// Committed is what a commit has done.
type Committed struct {
	Made    int                `json:"made"`
	Moved   int                `json:"moved"`
	Written int                `json:"written"`
	Removed int                `json:"removed"`
	Bytes   int64              `json:"bytes"`
	Also    []string           `json:"also"`
	Kept    []billyfs.Conflict `json:"kept"`
	Dropped []string           `json:"dropped"`
}

func newCommit(u *ui) *cobra.Command {
	var r commitRequest
	var asJSON bool
	c := &cobra.Command{
		Use:   "commit [STORE] [PATH...]",
		Short: "Apply the changes to the base",
		Long:  commitLong,
		Example: `  deltafs commit --dry-run ~/delta
  deltafs commit ~/delta
  deltafs commit ~/delta etc/hosts usr/local
  cd /mnt && deltafs commit src`,
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			dir, paths, err := storeAndPaths(args)
			if err != nil {
				return err
			}
			switch billyfs.ConflictPolicy(r.onConflict) {
			case billyfs.ConflictFail, billyfs.ConflictSkip, billyfs.ConflictDelta, billyfs.ConflictBase:
			default:
				return badFlag("--on-conflict %q: not one of fail, skip, delta, base", r.onConflict)
			}
			if _, err := ignoring(r.ignore); err != nil {
				return err
			}
			r.paths = paths
			return commit(c.Context(), u, dir, r, asJSON)
		},
	}
	f := c.Flags()
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.StringVar(&r.onConflict, "on-conflict", string(billyfs.ConflictFail), "where the base was changed by others: `POLICY` fail, skip, delta or base")
	f.BoolVar(&r.dropSnapshots, "drop-snapshots", false, "give up the snapshots of the store")
	f.BoolVar(&r.breakOthers, "break-others", false, "commit although other stores hold changes of the same base")
	f.BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	ignoreFlag(c, &r.ignore)
	return c
}

// commit commits, through the server of a store if there is one.
func commit(ctx context.Context, u *ui, dir string, r commitRequest, asJSON bool) error {
	var last commitLine
	began, told := time.Now(), time.Now()
	tell := func(l commitLine) error {
		if l.End {
			last = l
		}
		switch {
		case l.Progress != nil && time.Since(told) < time.Second:
			return nil
		case asJSON:
			return u.json(l)
		case l.Would != nil:
			return u.printf("%s\n", l.Would.line())
		case l.Progress == nil:
			return nil
		}
		told = time.Now()
		return u.printf("%s\n", progressLine(*l.Progress, time.Since(began)))
	}
	var err error
	if s, ok := dialServer(ctx, dir); ok {
		err = s.commit(ctx, r, tell)
	} else {
		err = withLines(dir, deltalog.Options{}, func(ls *lines) error { return ls.commit(ctx, r, tell) })
	}
	if err != nil || asJSON {
		return err
	}
	return last.say(u, r.dryRun)
}

// progressLine is progress for people.
func progressLine(p billyfs.CommitProgress, took time.Duration) string {
	s := fmt.Sprintf("%d of about %d, %s of %s", p.Steps, max(p.AllSteps, p.Steps),
		humanize.IBytes(uint64(p.Bytes)), humanize.IBytes(uint64(max(p.AllBytes, p.Bytes))))
	part := float64(p.Steps) / float64(max(p.AllSteps, 1))
	if p.AllBytes > 0 {
		part = min(part, float64(p.Bytes)/float64(p.AllBytes))
	}
	if part > 0.01 && part < 1 {
		s += fmt.Sprintf(", about %v to go", time.Duration(float64(took)*(1-part)/part).Round(time.Second))
	}
	return s
}

func (l commitLine) say(u *ui, dryRun bool) error {
	for _, p := range l.Also {
		if err := u.printf("also %s, which the rest cannot do without\n", quote(p)); err != nil {
			return err
		}
	}
	for _, k := range l.Kept {
		u.warn("%s: %s stays in the delta: the base does not take it", quote(k.Path), k.Reason)
	}
	for _, k := range l.Conflicts {
		u.warn("%s stays as it is: %s", quote(k.Path), k.Reason)
	}
	for _, name := range l.Dropped {
		verb := "was"
		if dryRun {
			verb = "would be"
		}
		if err := u.printf("snapshot %s %s dropped\n", quote(name), verb); err != nil {
			return err
		}
	}
	if dryRun {
		return nil
	}
	return u.printf("committed: %d made, %d moved, %d changed, %d removed, %s\n", l.Made, l.Moved, l.Written, l.Removed, humanize.IBytes(uint64(l.Bytes)))
}

// commit commits main, and tells how far it is.
func (ls *lines) commit(ctx context.Context, r commitRequest, tell func(commitLine) error) error {
	t, err := ls.tree(billyfs.MainLine)
	if err != nil {
		return err
	}
	base := ls.base.Root()
	if !r.breakOthers {
		if others := othersOver(base, ls.dir); len(others) > 0 {
			return &fault{Op: "commit to", Path: base, Err: fmt.Errorf("other stores hold changes of it: %s", strings.Join(others, ", ")),
				Hint: "commit or discard those first; --break-others commits all the same, and may leave them in conflict"}
		}
	}
	o := billyfs.CommitOptions{
		Paths: r.paths, Ignore: append(append([]string{}, alwaysIgnored...), r.ignore...),
		OnConflict: billyfs.ConflictPolicy(r.onConflict), Kind: r.kind, DropSnapshots: r.dropSnapshots,
		Progress: func(p billyfs.CommitProgress) { _ = tell(commitLine{Progress: &p}) }, // who does not listen any more
	}
	if r.dryRun {
		return dryRun(t, o, tell)
	}
	w, err := rootfs.OpenWritable(base)
	if err != nil {
		return &fault{Op: "commit to", Path: base, Err: bare(err), Code: exitBase}
	}
	defer w.Close()
	o.Base, o.Stop = w, ctx.Done()
	d, err := t.Commit(o)
	if err != nil {
		return err
	}
	return tell(lineOf(d))
}

func dryRun(t *billyfs.Tree, o billyfs.CommitOptions, tell func(commitLine) error) error {
	list, d, err := t.PlanCommit(o)
	if err != nil {
		return err
	}
	for _, e := range list {
		c := changeOf(e)
		if err := tell(commitLine{Would: &c}); err != nil {
			return err
		}
	}
	return tell(lineOf(d))
}

func lineOf(d billyfs.Committed) commitLine {
	return commitLine{
		Committed: &Committed{Made: d.Made, Moved: d.Moved, Written: d.Written, Removed: d.Removed, Bytes: d.Bytes,
			Also: d.Also, Kept: d.Kept, Dropped: d.Dropped},
		Conflicts: d.Conflicts, statusEnd: statusEnd{End: true},
	}
}

// resume finishes a commit that was interrupted, if there was one.
func (ls *lines) resume(ctx context.Context) (bool, error) {
	t, err := ls.tree(billyfs.MainLine)
	if err != nil || !t.Unfinished() {
		return false, err
	}
	w, err := rootfs.OpenWritable(ls.base.Root())
	if err != nil {
		return true, err
	}
	defer w.Close()
	_, err = t.Resume(billyfs.CommitOptions{Base: w, Stop: ctx.Done()})
	return true, err
}

// handleCommit answers POST /v1/commit with lines of commitLine.
func handleCommit(w http.ResponseWriter, r *http.Request, e *export) {
	q := r.URL.Query()
	req := commitRequest{
		paths: q["path"], ignore: q["ignore"], onConflict: q.Get("on-conflict"),
		dropSnapshots: q.Has("drop-snapshots"), breakOthers: q.Has("break-others"), dryRun: q.Has("dry-run"), kind: true,
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	flush := http.NewResponseController(w)
	err := e.lines.commit(e.running, req, func(l commitLine) error {
		if err := enc.Encode(l); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil {
		l := commitLine{statusEnd: statusEnd{Error: err.Error()}}
		var c *billyfs.ConflictError
		if errors.As(err, &c) {
			l.Conflicts = c.Conflicts
		}
		_ = enc.Encode(l) // a client that has gone away notices the missing end
	}
}

// commit asks the server to commit.
func (r *remote) commit(ctx context.Context, req commitRequest, tell func(commitLine) error) error {
	q := url.Values{"path": req.paths, "ignore": req.ignore, "on-conflict": {req.onConflict}}
	for name, on := range map[string]bool{"drop-snapshots": req.dropSnapshots, "break-others": req.breakOthers, "dry-run": req.dryRun} {
		if on {
			q.Set(name, "")
		}
	}
	return r.call(ctx, http.MethodPost, "/v1/commit?"+q.Encode(), func(body io.Reader) error { return eachLine(body, tell) })
}
