package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"deltafs/nfsserver"
	"deltafs/nfsserver/wire"
)

// portmap tells clients that cannot be told a port where the server is: by a
// portmapper of its own, or through the one that the system runs already.
type portmap struct {
	own        *nfsserver.Portmap
	tcp        net.Listener
	udp        net.PacketConn
	unregister func() error
	log        *slog.Logger
}

// openPortmap makes a server at addr known at port 111 of the same address.
func openPortmap(addr net.Addr, log *slog.Logger) (*portmap, error) {
	at, _ := addr.(*net.TCPAddr)
	where := net.JoinHostPort(hostOf(at), strconv.Itoa(wire.PortmapPort))
	p := &portmap{log: log}
	tcp, err := net.Listen("tcp", where)
	if err == nil {
		p.tcp, p.own = tcp, nfsserver.NewPortmap(uint16(at.Port))
		if p.udp, err = net.ListenPacket("udp", where); err == nil {
			return p, nil
		}
		tcp.Close()
	}
	if !addrInUse(err) {
		f := &fault{Op: "listen", Path: where, Err: reason(err)}
		if errors.Is(err, syscall.EACCES) {
			f.Hint = "port 111 needs root; or leave out --portmap, and give clients the port"
		}
		return nil, f
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	system := net.JoinHostPort("127.0.0.1", strconv.Itoa(wire.PortmapPort))
	if p.unregister, err = nfsserver.Register(ctx, system, uint16(at.Port)); err != nil {
		return nil, &fault{Op: "register", Path: where, Err: err,
			Hint: "end what holds port 111, or leave out --portmap, and give clients the port"}
	}
	log.Info("registered with the portmapper of this system", "at", system)
	return &portmap{unregister: p.unregister, log: log}, nil
}

func hostOf(a *net.TCPAddr) string {
	if a.IP.IsUnspecified() {
		return ""
	}
	return a.IP.String()
}

// start answers until ctx ends; what it returns waits for that.
func (p *portmap) start(ctx context.Context) (wait func()) {
	var wg sync.WaitGroup
	if p.own != nil {
		wg.Go(func() { p.ended("tcp", p.own.Serve(ctx, p.tcp)) })
		wg.Go(func() { p.ended("udp", p.own.ServePacket(ctx, p.udp)) })
	}
	return wg.Wait
}

func (p *portmap) ended(network string, err error) {
	if err != nil {
		p.log.Warn("portmapper has ended", "network", network, "error", err)
	}
}

// close takes back what openPortmap did.
func (p *portmap) close() error {
	if p.own != nil {
		_ = p.tcp.Close() // closed already, if it was started
		_ = p.udp.Close()
	}
	if p.unregister != nil {
		if err := p.unregister(); err != nil {
			return &fault{Op: "unregister", Path: "port 111", Err: err}
		}
	}
	return nil
}
