package nfsserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"testing"

	"deltafs/nfsserver/wire"
)

// TestPermissions: each kind of caller may do what the mode says, and ACCESS says
// the same beforehand.
func TestPermissions(t *testing.T) {
	r := newRig(t)
	root := r.dial()
	top := root.mount("/")
	const owner, group = 1000, 100
	own := func(fh []byte, m uint32) {
		t.Helper()
		root.want("SETATTR", root.setattr(fh, wire.Sattr{SetUID: true, UID: owner, SetGID: true, GID: group}).Status, wire.OK)
		root.want("SETATTR", root.setattr(fh, mode(m)).Status, wire.OK)
	}
	callers := map[string]*testClient{
		"root": root, "owner": r.dial().as(owner, 5), "group": r.dial().as(2000, group),
		"member": r.dial().as(2000, 5, 7, group), "other": r.dial().as(2000, 5, 7),
	}
	for name, c := range callers {
		for m := uint32(0); m < 0o1000; m += 0o111 >> (m % 3) {
			digit := map[string]uint32{"owner": m >> 6, "group": m >> 3, "member": m >> 3, "other": m}[name] & 7
			f := root.create(top, fmt.Sprintf("%s-%o", name, m))
			own(f, m)
			dir := root.mkdir(top, fmt.Sprintf("%s-%o-d", name, m), 0o755)
			root.create(dir, "in")
			own(dir, m)
			read, write, exec := digit&4 != 0, digit&2 != 0, digit&1 != 0
			if name == "root" {
				read, write, exec = true, true, m&0o111 != 0
			}
			var a wire.AccessRes
			c.nfs(wire.ProcAccess, &wire.AccessArgs{Object: f, Access: 0x3f}, &a)
			if got, want := a.Access, bit(read, wire.AccessRead)|bit(write, wire.AccessModify|wire.AccessExtend)|bit(exec, wire.AccessExecute); got != want {
				t.Errorf("%s of %o: ACCESS %#x, want %#x", name, m, got, want)
			}
			var rd wire.ReadRes
			c.nfs(wire.ProcRead, &wire.RangeArgs{File: f, Count: 1}, &rd)
			// The owner may go on with a file that he has open, and what can be
			// executed can be read for that.
			if got, want := rd.Status == wire.OK, read || exec || name == "owner"; got != want {
				t.Errorf("%s of %o: READ %v", name, m, rd.Status)
			}
			w := c.tryWrite(f, 0, "x", wire.Unstable)
			if got, want := w.Status == wire.OK, write || name == "owner"; got != want {
				t.Errorf("%s of %o: WRITE %v", name, m, w.Status)
			}
			if name == "root" {
				exec = true
			}
			c.nfs(wire.ProcAccess, &wire.AccessArgs{Object: dir, Access: 0x3f}, &a)
			change := write && exec
			if got, want := a.Access, bit(read, wire.AccessRead)|bit(exec, wire.AccessLookup)|bit(change, wire.AccessModify|wire.AccessExtend|wire.AccessDelete); got != want {
				t.Errorf("%s of directory %o: ACCESS %#x, want %#x", name, m, got, want)
			}
			var l wire.ReaddirRes
			c.nfs(wire.ProcReaddir, &wire.ReaddirArgs{Dir: dir, Count: 4096}, &l)
			var lp wire.ReaddirplusRes
			c.nfs(wire.ProcReaddirplus, &wire.ReaddirplusArgs{Dir: dir, DirCount: 4096, MaxCount: 4096}, &lp)
			for what, s := range map[string]struct {
				got wire.Status
				ok  bool
			}{
				"LOOKUP": {c.tryLookup(dir, "in").Status, exec}, "READDIR": {l.Status, read}, "READDIRPLUS": {lp.Status, read},
				"CREATE": {c.tryCreate(dir, "new", wire.Guarded, mode(0)).Status, change},
				"LINK":   {c.link(f, dir, "link").Status, change},
				"RENAME": {c.rename(dir, "in", dir, "out").Status, change},
				"REMOVE": {c.remove(dir, "out").Status, change},
			} {
				if (s.got == wire.OK) != s.ok || !s.ok && s.got != wire.ErrAcces {
					t.Errorf("%s of directory %o: %s %v, allowed %v", name, m, what, s.got, s.ok)
				}
			}
		}
	}
}

func bit(on bool, b uint32) uint32 {
	if on {
		return b
	}
	return 0
}

// TestOwners: who may chmod, chown and touch, and whose a new file is.
func TestOwners(t *testing.T) {
	r := newRig(t)
	root := r.dial()
	top := root.mount("/")
	root.want("SETATTR", root.setattr(top, mode(0o1777)).Status, wire.OK)
	mine, yours := r.dial().as(1000, 100, 200), r.dial().as(2000, 100)
	f := mine.create(top, "mine")
	if a := root.getattr(f); a.UID != 1000 || a.GID != 100 {
		t.Errorf("a new file is %d:%d's", a.UID, a.GID)
	}
	now := wire.Sattr{AtimeHow: wire.SetToServerTime, MtimeHow: wire.SetToServerTime}
	then := wire.Sattr{MtimeHow: wire.SetToClientTime, Mtime: wire.Time{Sec: 5}}
	for what, k := range map[string]struct{ got, want wire.Status }{
		"chmod by the owner":         {mine.setattr(f, mode(0o640)).Status, wire.OK},
		"chmod by another":           {yours.setattr(f, mode(0o666)).Status, wire.ErrPerm},
		"chgrp to his own group":     {mine.setattr(f, wire.Sattr{SetGID: true, GID: 200}).Status, wire.OK},
		"chgrp to another":           {mine.setattr(f, wire.Sattr{SetGID: true, GID: 300}).Status, wire.ErrPerm},
		"chown to nobody's surprise": {mine.setattr(f, wire.Sattr{SetUID: true, UID: 1000}).Status, wire.OK},
		"chown to another":           {mine.setattr(f, wire.Sattr{SetUID: true, UID: 2000}).Status, wire.ErrPerm},
		"touch by the owner":         {mine.setattr(f, now).Status, wire.OK},
		"touch by another":           {yours.setattr(f, now).Status, wire.ErrAcces},
		"utimes by the owner":        {mine.setattr(f, then).Status, wire.OK},
		"utimes by another":          {yours.setattr(f, then).Status, wire.ErrPerm},
		"truncate by another":        {yours.setattr(f, wire.Sattr{SetSize: true}).Status, wire.ErrAcces},
		"remove from a sticky place": {yours.remove(top, "mine").Status, wire.ErrPerm},
		"rename in a sticky place":   {yours.rename(top, "mine", top, "yours").Status, wire.ErrPerm},
	} {
		if k.got != k.want {
			t.Errorf("%s: %v, want %v", what, k.got, k.want)
		}
	}
	var m wire.MakeRes
	mine.nfs(wire.ProcMknod, &wire.MknodArgs{Where: at(top, "dev"), Type: wire.TypeBlk}, &m)
	mine.want("MKNOD of a device", m.Status, wire.ErrPerm)
	mine.nfs(wire.ProcMknod, &wire.MknodArgs{Where: at(top, "fifo"), Type: wire.TypeFIFO}, &m)
	mine.want("MKNOD of a FIFO", m.Status, wire.OK)
	res := mine.tryCreate(top, "claimed", wire.Guarded, wire.Sattr{SetUID: true, UID: 0, SetMode: true, Mode: 0o600})
	if res.Status == wire.OK && res.Attr.Attr.UID != 1000 {
		t.Errorf("a file was made for uid %d", res.Attr.Attr.UID)
	}
	// A setgid bit for a group that he is not in is not given.
	root.want("chgrp", root.setattr(f, wire.Sattr{SetGID: true, GID: 999}).Status, wire.OK)
	mine.want("chmod", mine.setattr(f, mode(0o2755)).Status, wire.OK)
	if a := root.getattr(f); a.Mode != 0o755 {
		t.Errorf("mode %o, want 755", a.Mode)
	}
	// What other people write to loses its setuid bit.
	root.want("chmod", root.setattr(f, mode(0o4777)).Status, wire.OK)
	yours.write(f, 0, "x")
	if a := root.getattr(f); a.Mode != 0o777 {
		t.Errorf("mode %o after another has written, want 777", a.Mode)
	}
}

// TestAdmission: who is let in, and as whom.
func TestAdmission(t *testing.T) {
	from := func(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 700) }
	here := from("127.0.0.1")
	nets := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	for what, k := range map[string]struct {
		access        Access
		peer          string
		refused       bool
		local, squash bool
		fixed         bool
	}{
		"a stranger":                   {Access{}, "192.168.1.5", true, false, false, false},
		"one of the network":           {Access{Allow: nets}, "192.168.1.5", false, false, true, false},
		"the same in IPv6 clothes":     {Access{Allow: nets}, "::ffff:192.168.1.5", false, false, true, false},
		"one of the other network":     {Access{Allow: nets}, "2001:db8::7", false, false, true, false},
		"one of a third":               {Access{Allow: nets}, "192.168.2.5", true, false, false, false},
		"remote root, none squashed":   {Access{Allow: nets, Squash: SquashNone}, "192.168.1.5", false, false, false, false},
		"remote, all squashed":         {Access{Allow: nets, Squash: SquashAll}, "192.168.1.5", false, false, true, true},
		"trusted loopback":             {Access{TrustLoopback: true}, "127.0.0.1", false, true, false, false},
		"trusted loopback, root":       {Access{TrustLoopback: true, Squash: SquashRoot}, "127.0.0.1", false, true, true, false},
		"a socket that is not there":   {Access{}, "127.0.0.1", false, false, true, false},
		"trusting loopback, no others": {Access{TrustLoopback: true}, "192.168.1.5", true, false, false, false},
	} {
		s := &Server{o: Options{Access: k.access}}
		cl, err := s.admit(here, from(k.peer))
		switch {
		case k.refused:
			if !errors.Is(err, errRefused) {
				t.Errorf("%s: %v", what, err)
			}
		case err != nil:
			t.Errorf("%s: %v", what, err)
		case cl.local != k.local || cl.squash != k.squash || (cl.fixed != nil) != k.fixed:
			t.Errorf("%s: %+v", what, cl)
		}
	}
}

// TestSquash: root becomes nobody where it must, others stay, and whose socket it
// is counts more than what the caller says.
func TestSquash(t *testing.T) {
	callBy := func(uid uint32) *call {
		return &call{rpc: wire.Call{Cred: wire.Cred{Flavor: wire.AuthSys, UID: uid, GID: uid, GIDs: [16]uint32{7}, NGIDs: 1}}}
	}
	for _, k := range []struct {
		from     client
		uid      uint32
		want     uint32
		inGroup7 bool
	}{
		{client{}, 0, 0, true},
		{client{}, 1000, 1000, true},
		{client{squash: true}, 0, nobody, false},
		{client{squash: true}, 1000, 1000, true},
		{client{fixed: &cred{uid: 5}}, 0, 5, false},
		{client{fixed: &cred{uid: 5}}, 1000, 5, false},
		{client{fixed: &cred{uid: 0}, squash: true}, 1000, nobody, false},
	} {
		c := callBy(k.uid)
		c.from = &k.from
		if !c.authorize() || c.cred.uid != k.want || c.cred.in(7) != k.inGroup7 {
			t.Errorf("uid %d from %+v: %+v", k.uid, k.from, c.cred)
		}
	}
	for _, k := range []struct {
		from client
		in0  bool
	}{{client{}, true}, {client{squash: true}, false}, {client{squash: true, fixed: &cred{uid: 5, groups: []uint32{0, 7}}}, false}} {
		c := callBy(1000)
		c.rpc.Cred.GID, c.rpc.Cred.GIDs, c.rpc.Cred.NGIDs = 0, [16]uint32{0, 7, 0}, 3
		c.from = &k.from
		if !c.authorize() || c.cred.in(0) != k.in0 || !c.cred.in(7) {
			t.Errorf("a caller in root's group from %+v: %+v", k.from, c.cred)
		}
		if f := k.from.fixed; f != nil && !slices.Contains(f.groups, 0) {
			t.Error("what is known of the connection was changed")
		}
	}
	c := &call{from: &client{}} // AUTH_NONE
	if !c.authorize() || c.cred.uid != nobody {
		t.Errorf("AUTH_NONE is %+v", c.cred)
	}
	if (&call{}).authorize() {
		t.Error("a connection that nobody admitted")
	}
}

// TestOtherUser: a program of another user is that user, whatever it claims; one
// of root's, which may speak for anybody, is not root.
func TestOtherUser(t *testing.T) {
	const helper = "DELTAFS_TEST_CONNECT"
	if addr := os.Getenv(helper); addr != "" {
		claimRoot(t, addr)
		return
	}
	r := serveDisks(t, Options{}, map[string]*disk{"/": newDisk(t, "")})
	cases := []struct{ uid, want uint32 }{{uint32(os.Getuid()), uint32(os.Getuid())}}
	if os.Geteuid() == 0 {
		cases = []struct{ uid, want uint32 }{{4711, 4711}, {0, nobody}}
	}
	d := r.disks[0].tree
	if _, err := d.SetAttr(rootCaller, d.Root(), modeOf(0o777)); err != nil {
		t.Fatal(err)
	}
	for _, k := range cases {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		// Whoever it is must be able to run it.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestOtherUser$", "-test.v")
		if _, err := os.Stat("/proc/self/exe"); err != nil || k.uid == uint32(os.Getuid()) {
			cmd.Path = exe
		}
		cmd.Env = append(os.Environ(), helper+"="+r.addr)
		if k.uid != uint32(os.Getuid()) {
			setUser(cmd, k.uid)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("uid %d: %v\n%s", k.uid, err, out)
		}
		_, rest, _ := strings.Cut(string(out), "owner=")
		got, _, _ := strings.Cut(rest, "\n")
		if got != strconv.FormatUint(uint64(k.want), 10) {
			t.Errorf("uid %d claimed to be root, and made a file of %q; want %d", k.uid, got, k.want)
		}
	}
}

// claimRoot makes a file as root says, and prints whose it is.
func claimRoot(t *testing.T, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := (&testClient{TB: t, conn: conn, xid: uint32(os.Getpid()) << 8}).as(0, 0)
	top := c.mount("/")
	f := c.create(top, fmt.Sprint("by ", os.Getpid()))
	fmt.Printf("owner=%d\n", c.getattr(f).UID)
}

// TestCredOf: a user of this machine has the groups that the system knows.
func TestCredOf(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip("no user database: ", err)
	}
	uid, err := strconv.ParseUint(me.Uid, 10, 32)
	if err != nil {
		t.Skip("no numbers for users: ", err)
	}
	if c := credOf(uint32(uid)); strconv.FormatUint(uint64(c.gid), 10) != me.Gid {
		t.Errorf("%+v of %+v", c, me)
	}
	if c := credOf(4294967000); c.uid != 4294967000 || c.gid != nobody || len(c.groups) != 0 {
		t.Errorf("an unknown user: %+v", c)
	}
}
