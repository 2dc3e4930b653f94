package wire

// MntArgs are the arguments of MNT and UMNT: dirpath.
type MntArgs struct{ Path []byte }

func (a *MntArgs) Code(x *XDR) { x.string("path", &a.Path, maxPath) }

// MntRes are the results of MNT in version 3: RFC 1813, section 5.2.1.
type MntRes struct {
	Status  MountStatus
	Handle  []byte
	Flavors []uint32
}

func (r *MntRes) Code(x *XDR) {
	if (*Status)(&r.Status).code(x); r.Status != MntOK {
		return
	}
	x.handle("fh", &r.Handle)
	n := uint32(len(r.Flavors))
	x.uint32("flavors", &n)
	if x.mode == reading {
		if r.Flavors = nil; uint64(n)*4 > uint64(len(x.b)) {
			x.fail()
			return
		}
		r.Flavors = make([]uint32, n)
	}
	for i := range r.Flavors {
		x.uint32("", &r.Flavors[i])
	}
}

// MountEntry is a mount that a client has told of: mountbody.
type MountEntry struct{ Host, Dir string }

// MountDumpRes are the results of DUMP: RFC 1813, section 5.2.2.
type MountDumpRes struct{ Mounts []MountEntry }

func (r *MountDumpRes) Code(x *XDR) {
	list(x, &r.Mounts, func(e *MountEntry) {
		x.text("host", &e.Host, maxMachine)
		x.text("path", &e.Dir, maxPath)
	})
}

// ExportEntry is an export and who may mount it: exportnode.
type ExportEntry struct {
	Dir    string
	Groups []string
}

// ExportRes are the results of EXPORT: RFC 1813, section 5.2.5.
type ExportRes struct{ Exports []ExportEntry }

func (r *ExportRes) Code(x *XDR) {
	list(x, &r.Exports, func(e *ExportEntry) {
		x.text("path", &e.Dir, maxPath)
		list(x, &e.Groups, func(g *string) { x.text("for", g, maxMachine) })
	})
}

// Mapping says on which port a version of a program is: RFC 1833, section 3.1.
type Mapping struct{ Prog, Vers, Prot, Port uint32 }

func (m *Mapping) Code(x *XDR) {
	x.uint32("prog", &m.Prog)
	x.uint32("vers", &m.Vers)
	x.uint32("prot", &m.Prot)
	x.uint32("port", &m.Port)
}

// Number is a result of PORTMAP: a port, or 1 for yes.
type Number struct{ V uint32 }

func (r *Number) Code(x *XDR) { x.uint32("", &r.V) }

// PmapDumpRes are the results of PORTMAP's DUMP.
type PmapDumpRes struct{ Mappings []Mapping }

func (r *PmapDumpRes) Code(x *XDR) { list(x, &r.Mappings, func(m *Mapping) { m.Code(x) }) }
