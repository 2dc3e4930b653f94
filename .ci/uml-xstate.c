/*
 * Preloaded into linux.uml by uml-run: lets its 6.1 kernel run on processors with AMX.
 *
 * It saves and restores the vector registers of its processes in a buffer of
 * fixed size, which is as large as the state of AVX-512. The host's kernel
 * takes PTRACE_SETREGSET of NT_X86_XSTATE only for the whole state, which is
 * larger where there is AMX, and answers EFAULT otherwise; the guest then dies
 * with "ptrace set fp regs failed, errno = 14". What lies behind the guest's
 * buffer is state that its processes cannot have, so it is filled with zeros.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

static long (*next)(int request, ...);

/* whole returns the size of a process's state on this machine, 0 if unknown. */
static size_t whole(long pid, char *buf, size_t len)
{
	static size_t size;
	struct iovec v = {buf, len};

	if (!size && next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &v) == 0)
		size = v.iov_len;
	return size;
}

long ptrace(enum __ptrace_request request, ...)
{
	static char buf[64 << 10] __attribute__((aligned(64)));
	__builtin_va_list ap;

	__builtin_va_start(ap, request);
	long pid = __builtin_va_arg(ap, int);
	void *addr = __builtin_va_arg(ap, void *), *data = __builtin_va_arg(ap, void *);
	__builtin_va_end(ap);
	if (!next)
		next = (long (*)(int, ...))dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && (uintptr_t)addr == NT_X86_XSTATE) {
		struct iovec *given = data;
		size_t size = whole(pid, buf, sizeof buf);

		if (given->iov_len < size) {
			memcpy(buf, given->iov_base, given->iov_len);
			memset(buf + given->iov_len, 0, size - given->iov_len);
			return next(request, pid, addr, &(struct iovec){buf, size});
		}
	}
	return next(request, pid, addr, data);
}
