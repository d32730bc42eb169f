/* Memory that grows in place: address space is reserved, and touched as it fills up. */
#include "engine.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* As much of `bytes` as the system lets us reserve; false if that is next to nothing. */
bool region_reserve(struct region *r, size_t bytes)
{
	const size_t least = 1 << 20;

	for (; bytes >= least; bytes /= 2) {
		void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (at == MAP_FAILED)
			continue;
#ifdef MADV_HUGEPAGE
		madvise(at, bytes, MADV_HUGEPAGE);
#endif
		*r = (struct region){.at = at, .room = bytes};
		return true;
	}
	return false;
}

void region_release(struct region *r)
{
	if (r->at)
		munmap(r->at, r->room);
	*r = (struct region){0};
}

/* Give back what the first bytes of a region take; they are not read any more. */
void region_forget(const struct region *r, size_t bytes)
{
	const size_t page = (size_t)1 << 21;

	if (bytes / page)
		madvise(r->at, bytes / page * page, MADV_DONTNEED);
}

size_t machine_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : (size_t)4 << 30;
}

double peak_mebibytes(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage))
		return 0;
#ifdef __APPLE__
	return (double)usage.ru_maxrss / (1 << 20);
#else
	return (double)usage.ru_maxrss / (1 << 10);
#endif
}

/* A small block of memory that the program cannot go on without. */
void *wanted(void *memory)
{
	if (!memory) {
		fputs("out of memory\n", stderr);
		exit(3);
	}
	return memory;
}
