package main

import (
	"errors"
	"net/netip"
	"strings"

	"deltafs/deltalog"
	"deltafs/nfsserver"
)

// The engines of --engine.
const (
	engineNative = "native"
	engineGoNFS  = "go-nfs"
)

const serveHint = "deltafs serve --help"

// badFlag is a usage error of serve.
func badFlag(format string, args ...any) error {
	return &fault{Err: usagef(format, args...), Code: exitUsage, Hint: serveHint}
}

// policy fills in how callers are dealt with.
func (f serveFlags) policy(cfg *serverConfig) error {
	var ok bool
	var err error
	if cfg.Thresholds, err = f.thresholds(); err != nil {
		return err
	}
	if cfg.Sync, ok = map[string]nfsserver.SyncMode{
		"auto": nfsserver.SyncAuto, "strict": nfsserver.SyncStrict, "local": nfsserver.SyncLocal,
	}[f.sync]; !ok {
		return badFlag("--sync %q: not one of auto, strict, local", f.sync)
	}
	a := &cfg.Access
	if a.Squash, ok = map[string]nfsserver.Squash{
		"": nfsserver.SquashDefault, "none": nfsserver.SquashNone, "root": nfsserver.SquashRoot, "all": nfsserver.SquashAll,
	}[f.squash]; !ok {
		return badFlag("--squash %q: not one of none, root, all", f.squash)
	}
	a.TrustLoopback = f.trustLoopback
	for _, s := range f.allow {
		p, err := parseNetwork(s)
		if err != nil {
			return badFlag("--allow %q: not a network such as 192.168.1.0/24, nor an address", s)
		}
		a.Allow = append(a.Allow, p)
	}
	switch f.engine {
	case engineNative:
	case engineGoNFS:
		if len(f.exports) > 0 || len(f.allow) > 0 || f.squash != "" || f.sync != "auto" || f.portmap || f.trace {
			return badFlag("--engine go-nfs knows none of --export, --allow, --squash, --sync, --portmap and --trace")
		}
	default:
		return badFlag("--engine %q: not one of native, go-nfs", f.engine)
	}
	return nil
}

// parseNetwork takes a single address too.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// places fills in what is served: checks names and directories.
func (f serveFlags) places(cfg *serverConfig) error {
	type place struct{ name, base, store string }
	var all []place
	switch {
	case f.base == "" && len(f.exports) == 0:
		return badFlag("serve: --base is missing")
	case f.commitWhenFull && f.immutable:
		return badFlag("--commit-when-full changes the base, which --immutable says cannot change")
	case f.known < 100_000:
		return badFlag("--known-files %d: at least 100000", f.known)
	case f.base == "" && f.delta != "":
		return badFlag("serve: --delta without --base")
	case f.base != "" && f.delta == "":
		return badFlag("serve: --delta is missing")
	case f.base != "":
		all = append(all, place{"/", f.base, f.delta})
	}
	for _, s := range f.exports {
		name, dirs, ok1 := strings.Cut(s, "=")
		base, store, ok2 := cutDirs(dirs)
		if !ok1 || !ok2 || !validExport(name) {
			return badFlag("--export %q: not NAME=BASE:STORE, with a name without slashes that does not begin with @", s)
		}
		all = append(all, place{"/" + name, base, store})
	}
	cleaner, err := f.cleaner()
	if err != nil {
		return err
	}
	for _, p := range all {
		e := exportConfig{Name: p.name, Cleaner: cleaner, Immutable: f.immutable, Known: f.known, CommitWhenFull: f.commitWhenFull}
		if e.Base, err = realBase(p.base); err != nil {
			return goneBase(err, p.store)
		}
		if e.Store, err = realNew(p.store); err != nil {
			return &fault{Op: "open", Path: p.store, Err: bare(err)}
		}
		if e.Limit, err = f.limitBytes(e.Store); err != nil {
			return err
		}
		cfg.Exports = append(cfg.Exports, e)
	}
	return checkExports(cfg.Exports)
}

// cleaner returns how stores clean by themselves.
func (f serveFlags) cleaner() (o deltalog.CleanerOptions, err error) {
	o = deltalog.CleanerOptions{MinCleanSegments: f.minClean, MaxCleanSegments: f.maxClean, Compress: f.compress}
	if f.minClean < 0 || f.maxClean < 0 {
		return o, badFlag("--min-clean-segments and --max-clean-segments are not negative")
	}
	if f.minReclaimable != "" {
		o.MinReclaimableBlocks, err = percent("--min-reclaimable-blocks", f.minReclaimable)
	}
	return o, err
}

// cutDirs takes BASE:STORE apart. On Windows either may have a drive in front,
// with a colon of its own.
func cutDirs(s string) (base, store string, ok bool) {
	from := 0
	if len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/') {
		from = 2
	}
	i := strings.IndexByte(s[from:], ':')
	if i < 0 {
		return "", "", false
	}
	base, store = s[:from+i], s[from+i+1:]
	return base, store, base != "" && store != ""
}

// validExport refuses names that forks have.
func validExport(name string) bool {
	return name != "" && name[0] != '@' && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\\\x00")
}

// checkExports refuses exports of one name, stores that are used twice, and a
// store that lies in a base, or the other way around.
func checkExports(all []exportConfig) error {
	for i, e := range all {
		for _, o := range all {
			if err := checkApart(o.Base, e.Store); err != nil {
				return err
			}
		}
		for _, o := range all[:i] {
			switch {
			case o.Name == e.Name:
				return badFlag("--export: two exports are called %s", strings.TrimPrefix(e.Name, "/"))
			case sameFile(o.Store, e.Store) || o.Store == e.Store || inside(o.Store, e.Store) || inside(e.Store, o.Store):
				return &fault{Op: "serve", Path: e.Store, Err: errors.New("two exports have the same store"), Code: exitUsage,
					Hint: "a store of its own for each; the base may be the same"}
			}
		}
	}
	return nil
}
